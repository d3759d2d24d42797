"""The Hugging Face hub: fetching models ahead, who is signed in, and why something of it cannot be had."""
