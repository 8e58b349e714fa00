"""The street-sound node's daemon: hears, says what it hears and how sure it is, and tells MQTT.

Runs on Python 3.6 and later and imports with only NumPy installed.
"""

__version__ = "0.1.0"
