"""The stages from a captured program to a softened one."""
