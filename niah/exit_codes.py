"""Exit codes of every command."""

DONE = 0
DIFFERS = 1  # what was checked is not as it should be: parity, verify, cost, doctor
USAGE = 2  # a mistake in the command or its files
INCOMPLETE = 3  # some record is an error or a timeout, or the disk is full
INTERRUPTED = 130  # Ctrl-C
UNREAD = 141  # what a shell reports of a command whose output nobody reads any more: | head
