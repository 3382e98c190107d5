"""Everything that the local FLORA stores: its catalog, workspaces, runs, assets and canvases."""
