// Nonlinearities and their derivatives, as in src/backend/cpu/activation.rs.
#pragma once
#include "primitives.cuh"

enum Activation { NO_ACTIVATION = 0, GELU = 1, GELU_TANH = 2, SILU = 3, RELU = 4 };

struct Curve {
    float value, derivative;
};

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

DEVICE Curve activate(int kind, float x) {
    switch (kind) {
        case GELU: {
            // x Phi(x) and Phi(x) + x phi(x); erfc keeps what 1 + erf loses on the left.
            const float cdf = 0.5f * erfcf(-0.70710678f * x), density = 0.39894228f * exponential(-0.5f * x * x);
            return {x * cdf, cdf + x * density};
        }
        case GELU_TANH: {
            const float linear = 1.5957691f, slope = 1.5957691f * 0.044715f;
            const float s = sigmoid(x * (linear + slope * x * x)), inner = linear + 3.0f * slope * x * x;
            return {x * s, s + x * s * (1.0f - s) * inner};
        }
        case SILU: {
            const float s = sigmoid(x);
            return {x * s, s + x * s * (1.0f - s)};
        }
        case RELU:
            return x > 0.0f ? Curve{x, 1.0f} : Curve{0.0f, 0.0f};
        default:
            return {x, 1.0f};
    }
}
