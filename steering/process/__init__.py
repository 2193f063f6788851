"""What any long-running process of ours runs on: its event loop, its messages, its access lines, its supervisor."""
