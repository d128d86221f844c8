"""Videos of agents: episodes are played as ``poolrl evaluate`` plays them, drawn and encoded."""
