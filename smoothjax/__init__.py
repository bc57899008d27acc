"""smoothjax: dense prediction without grid artifacts, in JAX and Flax NNX.

The layers, each importing only those above it::

    ops        pure functions on arrays: one primitive, `reinterlace`, and what is built on it
    nn         Flax NNX layers that hold the parameters of the operations
    models     networks made of these layers
    weights    published parameters
    data       images and labels, augmentation, pipelines; NumPy out
    training   state, step, schedules, checkpoints, the loop
    metrics    confusion matrix and what follows from it
    analysis   measures of the artifacts, on arrays

Import the layer you need: `from smoothjax import ops` pulls in JAX and chex, nothing else.
"""
