"""Distils for two epochs on one device and on two replicas, and compares every weight; run by test_distiller.py."""

import keras
import numpy as np
import tensorflow as tf
from harness import values
from keras_bert_tools.compression.distiller import DistillationLosses, Distiller
from keras_bert_tools.compression.soft_labels import distillation_dataset, teacher_logits
from test_distiller import make, targets_of, texts_of


def main():
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    start, results = None, []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        teacher = make("bert", seed=5)
        with strategy.scope():
            student = make("bert", seed=6)
            start = start or [values(weight) for weight in (*teacher.weights, *student.weights)]
            for weight, value in zip((*teacher.weights, *student.weights), start, strict=True):
                weight.assign(value)
            distiller = Distiller(student, DistillationLosses(soft=1.0, hard=0.5))
            distiller.compile(keras.optimizers.SGD(0.05), jit_compile=False)
        texts = texts_of(8)
        soft = teacher_logits(teacher, texts)
        dataset = distillation_dataset(texts, targets_of("sequence", texts), soft, student.config, batch_size=8)
        losses = distiller.fit(dataset, epochs=2, verbose=0).history["loss"]
        assert losses[1] < losses[0]
        results.append([values(weight) for weight in student.trainable_weights])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)


if __name__ == "__main__":
    main()
