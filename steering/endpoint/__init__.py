"""The endpoint helper: knows which program opened a connection, and enforces program rules on the laptop.

``identify`` says who opened a connection, ``decide`` what is to become of it, ``proxy`` does it, ``bundle`` keeps the
policy, ``capture`` brings connections here that know of no proxy, ``install`` sets a machine up and back.
"""
