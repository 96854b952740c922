"""What generated scenes are made of: colours, textures, backdrops and objects with their parts."""
