"""Setting a machine up for the helper and putting it back exactly: plan, apply, verify, undo.

A step is a list of actions (``actions``), planned from what the machine is (``machine``) and shown before it is done.
``edits`` says what becomes of a file, ``carry`` does it, and the ``journal`` knows what was there before.
"""
