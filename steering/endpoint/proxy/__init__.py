"""The local proxy: takes connections from programs on this computer and sends each where it was decided."""
