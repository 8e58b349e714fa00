"""Exit statuses of the command line: done, the thing asked for failed, unusable input, a fault inside."""

EXIT_DONE, EXIT_FAILED, EXIT_UNUSABLE, EXIT_FAULT = 0, 1, 2, 70
