"""What a specialist that writes is made of: pieces, vocabulary, decoders and the search."""
