"""One file a command: parse, call, show. Loaded only when its command is asked for."""
