"""The table of methods: what can be called, by which messages, whatever carries them."""
