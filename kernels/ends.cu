// The two ends of a model: first hidden states from tokens, patches and soft prompts; pooled heads and their losses;
// next-token cross entropy.
//
// Who reads or adds what is a list made by the launcher, so the kernels know neither prompts nor positions: a row of
// `gather` is the sum of up to three table rows, an entry of `scatter` the sum of listed rows, in order. All are bound by memory.
#include "primitives.cuh"

constexpr int THREADS = 128, MOST_TABLES = 8, SOURCES = 3;

struct GatherArguments {
    const half* tables[MOST_TABLES];
    const int64_t* places;  // [rows, 3]: first element in the table; -1 for nothing
    const int* which;       // [rows, 3]: its table
    half* out;              // [rows, width]
    int width, unused;
};

// out[row] = sum of its sources. Grid (rows).
KERNEL(gather, GatherArguments, THREADS, 0) {
    const int64_t row = blockIdx.x;
    for (int c = thread_index(); c < a.width; c += THREADS) {
        float sum = 0.0f;
        for (int s = 0; s < SOURCES; s++) {
            const int64_t place = a.places[row * SOURCES + s];
            if (place >= 0) sum += to_float(a.tables[a.which[row * SOURCES + s]][place + c]);
        }
        a.out[row * a.width + c] = to_half(sum);
    }
}

struct ScatterArguments {
    const half* rows;             // [rows, width]
    float* out;
    const int* starts;            // first entry of each destination in `list`, and one more
    const int* list;              // rows
    const int64_t* destinations;  // first element of each in `out`
    int width, unused;
};

// out[destination] += its rows, in order. Grid (ceil(width / 128), destinations).
KERNEL(scatter, ScatterArguments, THREADS, 0) {
    const int c = blockIdx.x * THREADS + thread_index(), d = blockIdx.y;
    if (c >= a.width) return;
    float sum = 0.0f;
    for (int i = a.starts[d]; i < a.starts[d + 1]; i++) sum += to_float(a.rows[(int64_t)a.list[i] * a.width + c]);
    a.out[a.destinations[d] + c] += sum;
}

struct HeadArguments {
    const half* hidden;      // [rows, width]
    const half* parameters;  // of the first client
    const int* offsets;      // first row of each sequence and one more
    const int* read_first;   // first row that pooling reads, of each sequence, and one beyond the last
    const int* read_end;
    const int* clients;      // of each sequence
    const int* segments;     // first sequence of each client and one more
    const int* labels;       // class of each sequence, or null
    const float* values;     // answer of each sequence, where there are no classes
    const float* weights;    // of each sequence in the loss
    float* pooled;           // [sequences, width]
    float* answers;          // [sequences, outputs]
    float* d_answers;        // [sequences, outputs]
    float* losses;           // [sequences]
    half* d_hidden;          // [rows, width]
    float* gradient;         // of the first client
    int64_t group;           // elements from one client's parameters to the next
    int64_t weight, bias;    // where the head's tensors start
    int width, outputs;
};

// Mean of the rows that the head reads. Grid (ceil(width / 128), sequences).
KERNEL(pool, HeadArguments, THREADS, 0) {
    const int c = blockIdx.x * THREADS + thread_index(), s = blockIdx.y;
    if (c >= a.width) return;
    const int first = a.read_first[s], end = a.read_end[s];
    float sum = 0.0f;
    for (int r = first; r < end; r++) sum += to_float(a.hidden[(int64_t)r * a.width + c]);
    a.pooled[(int64_t)s * a.width + c] = sum * (1.0f / (end - first));
}

// Answers, loss and its gradient: softmax - one-hot, or twice the error. Grid (sequences).
KERNEL(head_loss, HeadArguments, THREADS, THREADS / 32 * 4) {
    float* scratch = shared_memory<float>();
    const int s = blockIdx.x;
    const half* set = a.parameters + a.clients[s] * a.group;
    const float* pooled = a.pooled + (int64_t)s * a.width;
    float *answers = a.answers + (int64_t)s * a.outputs, *d = a.d_answers + (int64_t)s * a.outputs;
    for (int o = 0; o < a.outputs; o++) {
        float sum = 0.0f;
        for (int c = thread_index(); c < a.width; c += THREADS)
            sum += to_float(set[a.weight + (int64_t)o * a.width + c]) * pooled[c];
        sum = block_sum<THREADS>(sum, scratch) + to_float(set[a.bias + o]);
        if (thread_index() == 0) answers[o] = sum;
    }
    if (thread_index() != 0) return;
    if (!a.labels) {
        const float error = answers[0] - a.values[s];
        a.losses[s] = error * error;
        d[0] = 2.0f * a.weights[s] * error;
        return;
    }
    float most = answers[0], sum = 0.0f;
    for (int o = 1; o < a.outputs; o++) most = fmaxf(most, answers[o]);
    for (int o = 0; o < a.outputs; o++) sum += expf(answers[o] - most);
    a.losses[s] = logf(sum) + most - answers[a.labels[s]];
    for (int o = 0; o < a.outputs; o++)
        d[o] = a.weights[s] * (expf(answers[o] - most) / sum - (o == a.labels[s] ? 1.0f : 0.0f));
}

// dW += d_answers^T pooled, db += column sums, sequences in order. Grid (ceil((width + 1) / 128), outputs, clients).
KERNEL(head_parameters_gradient, HeadArguments, THREADS, 0) {
    const int c = blockIdx.x * THREADS + thread_index(), o = blockIdx.y, client = blockIdx.z;
    if (c > a.width) return;
    float sum = 0.0f;
    for (int s = a.segments[client]; s < a.segments[client + 1]; s++)
        sum += a.d_answers[(int64_t)s * a.outputs + o] * (c < a.width ? a.pooled[(int64_t)s * a.width + c] : 1.0f);
    float* gradient = a.gradient + client * a.group;
    if (c < a.width) gradient[a.weight + (int64_t)o * a.width + c] += sum;
    else gradient[a.bias + o] += sum;
}

// Gradient of the hidden rows; zero where pooling does not read. Grid (ceil(width / 128), sequences).
KERNEL(head_hidden_gradient, HeadArguments, THREADS, 0) {
    const int c = blockIdx.x * THREADS + thread_index(), s = blockIdx.y;
    if (c >= a.width) return;
    const half* weight = a.parameters + a.clients[s] * a.group + a.weight;
    const int first = a.read_first[s], end = a.read_end[s];
    float sum = 0.0f;
    for (int o = 0; o < a.outputs; o++)
        sum += a.d_answers[(int64_t)s * a.outputs + o] * to_float(weight[(int64_t)o * a.width + c]);
    sum *= 1.0f / (end - first);
    for (int r = a.offsets[s]; r < a.offsets[s + 1]; r++)
        a.d_hidden[(int64_t)r * a.width + c] = to_half(r >= first && r < end ? sum : 0.0f);
}

struct CrossEntropyArguments {
    const float* logits;   // [rows, vocabulary]
    const int* targets;    // of each row
    const float* weights;  // of each row in the loss
    half* d_logits;        // [rows, vocabulary]: weight (softmax - one-hot), or null
    float* losses;         // [rows]
    int* best;             // [rows]: the lowest of the largest
    int vocabulary, unused;
};

constexpr int WIDE = 256;

// Forward and backward of next-token prediction in one. Grid (rows); reads the row three times (twice from the cache).
KERNEL(cross_entropy, CrossEntropyArguments, WIDE, WIDE / 32 * 4) {
    float* scratch = shared_memory<float>();
    const int64_t row = blockIdx.x;
    const float* logits = a.logits + row * a.vocabulary;
    float most = minus_infinity(), sum = 0.0f, first = minus_infinity();
    for (int v = thread_index(); v < a.vocabulary; v += WIDE) most = fmaxf(most, logits[v]);
    most = block_max<WIDE>(most, scratch);
    for (int v = thread_index(); v < a.vocabulary; v += WIDE) {
        sum += exponential(logits[v] - most);
        // Indices below 2^24 are exact in single precision.
        if (logits[v] == most) first = fmaxf(first, -(float)v);
    }
    sum = block_sum<WIDE>(sum, scratch);
    first = block_max<WIDE>(first, scratch);
    const int target = a.targets[row];
    if (thread_index() == 0) {
        a.losses[row] = logf(sum) + most - logits[target];
        a.best[row] = (int)-first;
    }
    if (!a.d_logits) return;
    const float weight = a.weights[row], factor = weight / sum;
    for (int v = thread_index(); v < a.vocabulary; v += WIDE)
        a.d_logits[row * a.vocabulary + v] =
            to_half(factor * exponential(logits[v] - most) - (v == target ? weight : 0.0f));
}
