"""How loud it is: sound levels of the street, and what they come to over a minute, an hour and a day."""
