"""The file or the parts that an export writes, and the journal with which it goes on after an interruption."""
