"""Everything that the local FLORA stores: its catalogue, workspaces, runs, assets and canvases."""
