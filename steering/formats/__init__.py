"""Byte formats that more than one enforcement point reads or writes, so that none imports another.  Pure."""
