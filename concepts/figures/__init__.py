"""Pictures and pages of what is encoded."""
