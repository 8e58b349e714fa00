import json
import sys

import paho.mqtt.client as mqtt  # pip install paho-mqtt


def hear(client, userdata, message):
    event = json.loads(message.payload)
    print(event["id"], event["start"], event["node"], event["phase"], event["label"], event.get("laeq_db"), flush=True)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="my-dashboard", clean_session=False)
client.on_connect = lambda *_: client.subscribe("soundclr/+/+/event", qos=1)
client.on_message = hear
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_forever()
