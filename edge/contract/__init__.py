"""The contract with subscribers, published: JSON Schemas, an AsyncAPI document and a page, made from the definition.

`python -m edge.contract` (`make contract`) writes the files of this folder anew; a test holds that they are up to date.
"""
