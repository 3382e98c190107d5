"""What the local FLORA holds: its catalogue, projects, runs, assets and canvases."""
