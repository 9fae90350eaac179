"""Where the inputs of bulk registrations are: folders of this machine, or an S3-compatible store."""
