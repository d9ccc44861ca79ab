"""The report of a bundle: facts about its plugins that need no layer."""
