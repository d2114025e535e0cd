"""Parts that several test modules share: private servers, builders of test data."""
