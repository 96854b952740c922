"""Convolutions and poolings in the form that is fastest on the backend at hand."""
