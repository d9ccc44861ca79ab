"""A bucket (S3) that holds the bytes of blobs, with the data folder as its cache."""
