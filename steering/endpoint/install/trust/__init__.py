"""One writer for each store that programs take their trusted CAs from."""
