"""mingyan's DigitalHuman: two calls, flat JSON, inputs fetched from the customer's addresses."""
