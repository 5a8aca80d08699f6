"""What `keras-bert finetune` is made of: options, callbacks, one training, several seeds."""
