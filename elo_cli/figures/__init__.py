"""Pictures for people: what is in the data, drawn into one image file."""
