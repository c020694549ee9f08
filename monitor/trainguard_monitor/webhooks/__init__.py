"""The webhooks that rules may notify: `file` reads which there are, `payload` is what they get, `sender` sends it."""
