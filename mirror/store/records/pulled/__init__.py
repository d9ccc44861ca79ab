"""Content that was pulled through, in the catalog: counted with sharing, and evicted."""
