// Gives the target of the precompiled header a source; it holds nothing.
