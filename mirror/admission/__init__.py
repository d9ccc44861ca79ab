"""Use cases of plugin admission: approving, rejecting and inspecting plugins."""
