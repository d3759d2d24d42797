"""Personal data and keys in texts: what finds them, what stands in their place, and finding one person again to delete."""
