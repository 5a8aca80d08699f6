"""What keras_bert is measured against: other builds of the same network, each behind one call that runs a text."""
