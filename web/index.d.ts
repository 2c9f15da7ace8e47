/**
 * nibble: quantized language models (GGUF) in a page or in Node.
 *
 *     import { load } from 'nibble-llm';
 *     const model = await load('model.gguf');
 *     for await (const text of model.chat('Why is the sky blue?'))
 *         process.stdout.write(text);
 *     await model.dispose();
 *
 * @packageDocumentation
 */
import type { ChatCompletions, Completions, Embeddings } from './openai/types.js';

/**
 * Where a model comes from: a URL (relative to the page), a File or Blob, a stream of bytes, the bytes themselves,
 * or, in Node, a path. Bytes go straight into the engine's memory; JavaScript never holds more than a few chunks.
 *
 * A model of several files (a Hugging Face folder with its config.json, tokenizer.json and *.safetensors; the parts
 * of a split GGUF) is an array of Files, URLs or paths, or a folder: a URL that ends with a slash, a path in Node,
 * or 'hf:owner/repo' for one on the hub. Of a split GGUF the URL or path of any part will do.
 */
export type Source = string | UrlLike | BlobLike | StreamLike | Uint8Array | readonly (string | UrlLike | FileLike)[];

/** A URL: of the page, of Node, or of another realm. (These types list only what nibble uses, so that they need no
 * library of types.) */
export interface UrlLike {
    readonly href: string;
    toString(): string;
}

/** A Blob. */
export interface BlobLike {
    readonly size: number;
    readonly type: string;
    slice(start?: number, end?: number): BlobLike;
}

/** A File. */
export interface FileLike extends BlobLike {
    readonly name: string;
}

/** A ReadableStream of bytes. */
export interface StreamLike {
    getReader(): {
        read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
        cancel(reason?: any): Promise<void>;
    };
}

/** An AbortSignal. */
export interface SignalLike {
    readonly aborted: boolean;
    readonly reason?: any;
    addEventListener(type: 'abort', listener: () => void): void;
    removeEventListener(type: 'abort', listener: () => void): void;
}

export type Build =
    | 'simd128'
    | 'simd128-threads'
    | 'relaxed'
    | 'relaxed-threads'
    | 'relaxed-dot'
    | 'relaxed-dot-threads';
/** The builds that run models of integers, which quantize() with `method: 'integer'` makes (docs/integer.md). */
export type IntegerBuild = 'integer' | 'integer-threads';

/**
 * Loads a model into a worker of its own. If anything fails, it rejects with a NibbleError, whose `cause` is the
 * error behind it; after an abort it rejects with the signal's reason. (In Node a loaded model does not keep the
 * process running; a request does.)
 */
export function load(source: Source, options?: LoadOptions): Promise<Model>;

/**
 * What a model's weights are quantized to. 'nf4', 'fp4' and 'int8' quantize the matrices of layers as bitsandbytes
 * does. The others give what llama.cpp gives under these names: the same type for each tensor, and the same bytes.
 * 'q2_k_s', 'iq3_xs', 'iq3_xxs' and all of 'iq2' and 'iq1' need an importance matrix, as they do in llama.cpp.
 */
export type Preset =
    | 'nf4'
    | 'fp4'
    | 'int8'
    | 'q8_0'
    | 'q6_k'
    | 'q5_k_m'
    | 'q5_k_s'
    | 'q5_1'
    | 'q5_0'
    | 'q4_k_m'
    | 'q4_k_s'
    | 'q4_1'
    | 'q4_0'
    | 'iq4_nl'
    | 'iq4_xs'
    | 'q3_k_l'
    | 'q3_k_m'
    | 'q3_k_s'
    | 'iq3_m'
    | 'iq3_s'
    | 'iq3_xs'
    | 'iq3_xxs'
    | 'q2_k'
    | 'q2_k_s'
    | 'iq2_m'
    | 'iq2_s'
    | 'iq2_xs'
    | 'iq2_xxs'
    | 'iq1_m'
    | 'iq1_s'
    | 'tq2_0'
    | 'tq1_0'
    | 'q2_0'
    | 'q1_0'
    | 'nvfp4'
    | 'mxfp4_moe'
    | 'f32'
    | 'f16'
    | 'bf16';

/** The type of a single tensor. */
export type TensorType =
    | 'f32'
    | 'f16'
    | 'bf16'
    | 'q4_0'
    | 'q4_1'
    | 'q5_0'
    | 'q5_1'
    | 'q8_0'
    | 'q2_k'
    | 'q3_k'
    | 'q4_k'
    | 'q5_k'
    | 'q6_k'
    | 'iq2_xxs'
    | 'iq2_xs'
    | 'iq3_xxs'
    | 'iq1_s'
    | 'iq4_nl'
    | 'iq3_s'
    | 'iq2_s'
    | 'iq4_xs'
    | 'iq1_m'
    | 'tq1_0'
    | 'tq2_0'
    | 'mxfp4'
    | 'nvfp4'
    | 'q1_0'
    | 'q2_0'
    | 'nf4'
    | 'fp4';

/**
 * Quantizes a model, and gives the bytes of the GGUF that it becomes. They are made while the stream is read, in a
 * worker that lives as long; neither the model nor the GGUF is ever whole in memory (but see `method`). If
 * something fails, or is aborted, reading rejects with the error. In a page the stream can go to a file of the
 * origin's private file system (`stream.pipeTo(await handle.createWritable())`), in Node to
 * `Writable.toWeb(createWriteStream(path))`.
 *
 * The source is what load() takes: floating-point weights in a GGUF, or in a folder of safetensors files. llama.cpp
 * reads the GGUF, unless it has NF4 or FP4, or its key "nibble.only" says why not.
 */
export function quantize(source: Source, options: QuantizeOptions): ByteStream;

/**
 * A ReadableStream of Uint8Arrays; if the types of your project lack ReadableStream, an interface with its methods.
 */
export type ByteStream = typeof globalThis extends { ReadableStream: { prototype: infer Stream } }
    ? Stream
    : BasicByteStream;

export interface BasicByteStream {
    getReader(): {
        read(): Promise<{ done: false; value: Uint8Array } | { done: true; value?: undefined }>;
        cancel(reason?: any): Promise<void>;
        releaseLock(): void;
    };
    cancel(reason?: any): Promise<void>;
    pipeTo(destination: any, options?: any): Promise<void>;
}

/** Either a `type`, or a budget: `bits` or `size`. */
export interface QuantizeOptions {
    type?: Preset;
    /**
     * Instead of `type`: bits of a weight, on average over all tensors. Each matrix gets a type of its own, so that the
     * loss is least. The loss of a matrix as a type is measured: first the error of its products, by an importance
     * matrix and a sample of rows; then, with a `calibration` text, how much the model's output changes (its KL
     * divergence) if this matrix alone is rounded, which makes the errors of different matrices comparable. `imatrix`
     * alone is enough, but then the output is not measured. The types have 2.06 to 8.5 bits, or are F16; for rows that
     * are not whole blocks of 256, they have 4.5 bits or more; with method 'autoround' layers get only types that it
     * makes. `tensors`, `outputType` and `tokenEmbeddingType` take precedence. The importance matrix is used for
     * rounding, too; if none is given, it is collected over the text.
     *
     * To measure, the whole model is loaded; where it does not fit into memory, its output is not measured, and an
     * importance matrix is not collected. `onPlan` reports this. The source is read several times.
     */
    bits?: number;
    /** The same with a limit for the bytes of the GGUF: a number, or a text such as '90MB' or '1.5GiB'. */
    size?: number | string;
    /**
     * Types of single tensors, instead of the preset's: pairs of a pattern and a type. A pattern is a regular
     * expression (JavaScript's, such as 'ffn_down' or 'blk\\.[01]\\.') that is looked for in the tensor's name, as
     * llama-quantize's --tensor-type does; the first that is found counts. Norms, biases and what else is never
     * quantized stay as they are. A pattern that is found in the name of no matrix is refused.
     */
    tensors?: { readonly [pattern: string]: TensorType } | readonly (readonly [string, TensorType])[];
    /** Type of output.weight; of the token embedding in a model where that is the output, too. It takes
     * precedence over `tensors`. */
    outputType?: TensorType;
    /** Type of token_embd.weight. It takes precedence over `tensors`. */
    tokenEmbeddingType?: TensorType;
    /** 'reference' (the default) gives llama.cpp's bytes; 'best' searches longer, for less error in the same format. */
    search?: 'reference' | 'best';
    /** The file of an importance matrix (llama.cpp's imatrix, .dat or GGUF): errors of important columns count more.
     * For method 'rtn'. */
    imatrix?: Uint8Array;
    /**
     * How the matrices of layers are rounded.
     *   'rtn' (the default): each weight to nearest.
     *   'gptq': column by column; the columns that follow make up for the error of each, as far as the inputs of the
     *      matrix, which a calibration text shows, let them (Frantar et al. 2023, "GPTQ"). Types without error
     *      feedback (IQ1, IQ2, IQ3, TQ1_0, TQ2_0) are rounded with what was observed as their importance.
     *   'awq': columns that meet large inputs are made larger before rounding to nearest, and these inputs smaller by
     *      as much, in the norm or the matrix that makes them; then the range of each block is clipped where that helps
     *      (Lin et al. 2024, "AWQ"). The layer computes what it did before rounding, which is checked with a part of
     *      the text; where it does not, and where nothing can absorb the scales, columns stay as they are.
     *   'awq+gptq': AWQ's scales without clipping, and then GPTQ's error feedback.
     *   'autoround': for each weight an offset is learned that lets it round up or down, and for each group of weights
     *      how far its range is clipped, so that the outputs of a layer change least (Cheng et al. 2024, "AutoRound").
     *      The scales of K-quants stay those of rounding to nearest. For models that train() takes, and the types Q4_0,
     *      Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q6_K. It takes far longer than the others.
     * In any case `type` and `tensors` say which tensor gets which type. The tensors outside the layers, such as the
     * token embedding and the output, are rounded to nearest.
     *
     * With a method that calibrates, the layers are quantized one after the other before the first byte comes. In
     * memory are the weights of one layer, what was observed of a group of its matrices, the text's residual streams
     * (4 bytes for each token and number of `info.width`), and all blocks so far; with 'autoround' the streams three
     * times, and some 20 bytes more for each weight of a layer. The source is read several times: it must be a URL, a
     * path or an array of Files, not a stream or bytes.
     *
     * 'integer': a Llama that runs on integers alone, weights of 8 bits with a scale for each row. It has no `type`,
     * and only nibble runs it, on a small build of its own (docs/integer.md). load() then gives a model that generates,
     * and gives logits and perplexities. Its cache has 8 bits, whatever `kvType` and `precision` say.
     */
    method?: 'rtn' | 'gptq' | 'awq' | 'awq+gptq' | 'autoround' | 'integer';
    /**
     * With a method that calibrates, and with `bits`, `size` and `outliers`: the text. It should be like what the model
     * is for, and of some ten thousand tokens. It is cut into windows as importanceMatrix() does it. Of an
     * encoder `bits` and `size` compare the embeddings instead of the next token's probabilities.
     */
    calibration?: string;
    /** Windows of the text that are used, at most. If it has more, they are spread over it. Default: 128. */
    samples?: number;
    /** Tokens of a window. Default: as for importanceMatrix(). */
    context?: number;
    /** GPTQ: this share of the mean of the Hessian's diagonal is added to the diagonal. Default: 0.01. */
    damping?: number;
    /**
     * GPTQ: which columns come first. Those with large inputs should, because the later columns make up for the
     * earlier ones' errors. 'group-aware' (the default): blocks by their largest input, and the columns of a block by
     * theirs (Gafni et al. 2025). 'natural': as they lie.
     */
    order?: 'group-aware' | 'natural';
    /** Method awq: clip the ranges of blocks, too, except for types whose encoders search for the range themselves (Q4,
     * Q5, K-quants, IQ). Default: true. */
    clip?: boolean;
    /** A group of a layer's matrices (q, k, v; o; gate, up; down) is observed after the groups before it are
     * quantized. Default: true. false is faster, and takes more memory. */
    trueSequential?: boolean;
    /** Method autoround: steps of signed gradient descent for each layer, of 8 windows of the text each.
     * Default: 200. */
    steps?: number;
    /**
     * With a method that calibrates, in Node: the path of a file that keeps each layer that is done, and what was
     * measured for `bits` or `size`. If the file is there, the run goes on from it; if it comes from another text or
     * model, or from options that change a layer, reading rejects. The bytes are the same. When the GGUF is written,
     * the caller removes the file.
     */
    resume?: string;
    /**
     * Rounds the matrices to a grid that no file format has, and writes the rounded values as floating-point numbers
     * (`type` 'f32', the default, or 'f16': then weights of F32 are rounded to F16 before, too). model.perplexity() and
     * compare() then tell what such a grid costs. The GGUF is not smaller; it says what it is under the key
     * "nibble.simulated". Tensors that `tensors`, `outputType` and `tokenEmbeddingType` name are not rounded.
     */
    simulate?: SimulateOptions;
    /**
     * Quantizes weights that are quantized already, too. This loses more than quantizing the original weights. Default:
     * false.
     */
    requantize?: boolean;
    /** With type 'nf4' or 'fp4': quantize the scales, too. Default: false. */
    doubleQuant?: boolean;
    /**
     * With type 'int8' and a calibration text: columns that have inputs of at least this magnitude in the text keep
     * weights of 16 bits, as the paper of LLM.int8() has it (Dettmers et al. 2022), whose threshold is 6. They stand
     * beside each matrix of a layer, in tensors X.outliers and X.outlier_columns (ModelInfo.tensors lists them);
     * experts have none. Only nibble reads such a file; llama.cpp refuses it. load() with `quantize: 'int8'` has no
     * text, and keeps no column apart.
     */
    outliers?: number;
    /**
     * Threads that share the work, each a worker. Default: half of the logical processors, or all if there are at
     * most 4; at most 8. A source that is not on this machine, or can be read only once, is read by one
     * thread. The bytes are the same for any number.
     */
    threads?: number;
    /** Called some 20 times a second with the bytes of the GGUF so far, and once at the end. If it throws, reading
     * rejects. */
    onProgress?: (progress: Progress) => unknown;
    /**
     * Called once, before the first byte: what each tensor becomes, and with `bits` or `size` what the types were
     * chosen by.
     */
    onPlan?: (tensors: PlannedTensor[], choice?: TypeChoice) => unknown;
    /** Aborting it ends the worker; reading rejects with its reason. */
    signal?: SignalLike;
    /** The same as load()'s. */
    wasmUrl?: LoadOptions['wasmUrl'];
    workerUrl?: LoadOptions['workerUrl'];
    poolWorkerUrl?: LoadOptions['poolWorkerUrl'];
    templateUrl?: LoadOptions['templateUrl'];
    debug?: LoadOptions['debug'];
}

/** A simulated grid. */
export interface SimulateOptions {
    /**
     * 'uniform' (the default): s (q - z), with scales s of 16 bits and zero points z of `bits`. 'log': 0 and signed
     * powers of two, whose largest exponent takes 8 bits for each group. 'codebook': 2^bits numbers of 16 bits for each
     * group, which fit the weights best (Lloyd-Max).
     */
    grid?: 'uniform' | 'log' | 'codebook';
    /** Bits of a code, 2 to 8. Default: 4. */
    bits?: number;
    /** Columns that share a scale or a codebook; they must divide all rows. 0: whole rows, which are output channels.
     * Default: 32. */
    group?: number;
    /** All of a matrix shares a scale or a codebook. Default: false. */
    perTensor?: boolean;
    /** Uniform. true (the default): the zero point is the middle of the codes. false: each group chooses its own. */
    symmetric?: boolean;
    /**
     * Uniform: the range of the weights that the codes cover; the others are clipped. 'minmax' (the default): all.
     * 'percentile': `percentile` of them. 'mse': the range with the least squared error. 'entropy': the range with
     * the least KL divergence of the rounded weights' distribution (Migacz 2017); it is for whole rows or tensors.
     */
    ranges?: 'minmax' | 'percentile' | 'mse' | 'entropy';
    /** Percent of the weights, from 50 to 100. Default: 99.9. */
    percentile?: number;
    /** Uniform. 'nearest' (the default); 'stochastic': up with the probability of the fraction (Gupta et al. 2015). */
    rounding?: 'nearest' | 'stochastic';
    /** For stochastic rounding: the same seed gives the same weights. Default: 0. */
    seed?: number;
}

/** What a GGUF says of the grid that its weights were rounded to. */
export interface Simulated extends Required<SimulateOptions> {
    /** What the rounded weights are stored as. */
    type: 'f32' | 'f16';
    /** How many weights were rounded. */
    weights: number;
    /** What these would take as codes, with their scales, zero points and codebooks. */
    bytes: number;
}

/**
 * Quantizes the matrices in a model's layers, with a calibration text or without, and gives a Hugging Face folder as
 * GPTQModel, vLLM and transformers read it, file after file. The source is such a folder, with floating-point weights:
 * its URL, its path or an array of its Files. config.json gets a quantization_config (and AutoGPTQ a
 * quantize_config.json), a matrix becomes the tensors of the format, and all other tensors and files stay as they are,
 * byte for byte. A folder with a matrix that the format cannot have, such as experts that the files hold in one tensor,
 * is refused before the first file.
 *
 * The files come one after the other: each one's stream is read before the next file is asked for; what is not read of
 * it is dropped. They are made meanwhile, in a worker that lives as long; in memory are the weights of one layer and
 * what is made of it, what was observed of a group of its matrices, and the text's residual streams. If something
 * fails, or is aborted, reading a stream, or asking for the next file, rejects with the error.
 */
export function quantizeFolder(
    source: Source,
    options: QuantizeFolderOptions,
): AsyncGenerator<FolderFile, void, undefined>;

export interface FolderFile {
    /** The file's name, such as "model.safetensors". */
    name: string;
    /** In bytes. */
    size: number;
    stream: ByteStream;
}

export interface QuantizeFolderOptions {
    /**
     * The format of the tensors. 'gptq' (the default): AutoGPTQ's, which every reader of GPTQ accepts. 'gptq_v2': its
     * second format, whose zero points may be 0. If zero points are chosen (symmetric: false), GPTQModel reads the
     * folders of other programs only in this format. 'awq': AutoAWQ's "gemm". 'compressed-tensors' (the default with
     * `activations`): llm-compressor's "pack-quantized", and with `activations` its "int-quantized". All methods can
     * make all of these. 'bitsandbytes': what that library saves, always rounded to nearest.
     */
    format?: 'gptq' | 'gptq_v2' | 'awq' | 'compressed-tensors' | 'bitsandbytes';
    /** With format 'bitsandbytes': NF4 and FP4 (QLoRA, Dettmers et al. 2023), or LLM.int8() (Dettmers et al. 2022). */
    type?: 'nf4' | 'fp4' | 'int8';
    /** With type 'nf4' or 'fp4': how many weights share a scale, a power of two from 32 to 4096. Default: 64. */
    block?: number;
    /** With type 'nf4' or 'fp4': quantize the scales, too. Default: false. */
    doubleQuant?: boolean;
    /** Bits of a code: 2, 3, 4 (the default) or 8. compressed-tensors: 4 or 8; with `activations` 8. awq: 4. */
    bits?: number;
    /**
     * Columns that share a scale: a multiple of 32 that divides all rows; 0: whole rows, but not of awq. Default: 128;
     * with `activations` 0.
     */
    group?: number;
    /**
     * true: zero is the middle of the codes. false: each group chooses its zero point; with `activations` the inputs
     * have one, and the weights have none. Default: true, of awq false.
     */
    symmetric?: boolean;
    /**
     * W8A8: readers multiply weights of 8 bits, with a scale for each row, with inputs of 8 bits. 'dynamic': each token
     * has a scale, chosen when it is known. 'static': the inputs of a matrix have one scale, which is chosen with the
     * calibration text and written. vLLM computes so; nibble reads such a folder, but computes with finer inputs.
     */
    activations?: 'dynamic' | 'static';
    /**
     * With static activations, which range of the inputs is covered; those beyond are clipped. 'minmax' (the default):
     * all that the text shows. 'moving-average': the ends of the text's windows, averaged as by end += 0.01 (next end -
     * end). 'percentile': all but the farthest. 'mse': the range with the least squared error. 'entropy': the range
     * with the least KL divergence, as in TensorRT.
     */
    ranges?: 'minmax' | 'moving-average' | 'percentile' | 'mse' | 'entropy';
    /** With ranges 'percentile': how many of a hundred inputs are covered. Default: 99.99. */
    percentile?: number;
    /**
     * With `activations`, SmoothQuant's alpha (Xiao et al. 2023), from 0 to 1; 0.5 is usual. Before anything is
     * rounded, columns are scaled such that large ones of the inputs become smaller and those of the weights larger.
     * The norms that make these inputs change; they keep their types. It needs a calibration text. A post-norm model,
     * such as BERT or OLMo 2, is refused: what its norms make also goes into the residual stream.
     */
    smooth?: number;
    /**
     * 'reference' (the default): a scale covers the range of its group. 'best': a search finds the range with the least
     * sum of |error|^2.4, as GPTQModel proposes. AWQ's searches then try such scales, too.
     */
    search?: 'reference' | 'best';
    /** Bytes of tensors in one file of weights, at most. Default: 5e9. If they are more, there are several files and
     * model.safetensors.index.json. */
    shardBytes?: number;
    /**
     * As for quantize(). The default is 'rtn' without a `calibration` text and with `activations`, else 'gptq'. 'rtn'
     * runs no model, and has one layer's weights in memory. It is the only method for 'bitsandbytes'. With AWQ the
     * tensors that take up the scales, such as norms, change, too. They keep their types.
     */
    method?: 'rtn' | 'gptq' | 'awq' | 'awq+gptq' | 'autoround';
    /** The calibration text. All need it but 'rtn' without static `activations` and `smooth`. This and what follows
     * are as for quantize(), which says more. */
    calibration?: string;
    samples?: number;
    context?: number;
    damping?: number;
    clip?: boolean;
    trueSequential?: boolean;
    steps?: number;
    threads?: number;
    /**
     * Which columns come first: as for quantize(), and 'activation': columns by their largest input, and groups are of
     * columns that follow each other in this order (desc_act, act-order), so that readers must gather columns.
     * 'static': the same order, but groups are of neighbours, and their scales are chosen before.
     */
    order?: 'group-aware' | 'natural' | 'activation' | 'static';
    /** Called with static activations, before the last file ends: the range of each matrix's inputs. */
    onRanges?: (ranges: ActivationRange[]) => unknown;
    /** Called while layers are quantized, then with the bytes of the weights. */
    onProgress?: (progress: Progress) => unknown;
    /** Aborting it ends the worker; reading rejects with its reason. */
    signal?: SignalLike;
    /** The same as load()'s. */
    wasmUrl?: LoadOptions['wasmUrl'];
    workerUrl?: LoadOptions['workerUrl'];
    poolWorkerUrl?: LoadOptions['poolWorkerUrl'];
    templateUrl?: LoadOptions['templateUrl'];
    debug?: LoadOptions['debug'];
}

/** The range of a matrix's inputs in 8 bits: x = scale (code - zero), with codes from -128 to 127. */
export interface ActivationRange {
    /** The matrix's module, such as "model.layers.0.self_attn.q_proj". */
    module: string;
    low: number;
    high: number;
    /** The share of the calibration text's inputs that are beyond the range. */
    clipped: number;
    scale: number;
    zero: number;
}

export interface PlannedTensor {
    /** In the GGUF, such as "blk.0.attn_q.weight". */
    name: string;
    /** Type of the weights in the source. */
    from: string;
    /** What the preset, or one of the patterns, gives it. */
    wanted: string;
    /** What it becomes: another type than `wanted` if its rows are no whole blocks of that, as in llama.cpp. */
    type: string;
    /**
     * With `bits` or `size`: its predicted loss. If the model's output was measured (`TypeChoice.isMeasured`), the
     * tensor's part of the mean KL divergence from the original model, in nats; for an encoder its part of the mean of
     * 1 - cosine between a text's embedding and the original's. Otherwise the squared errors, weighted by importance if
     * there is an importance matrix. null: its type was given, or it is not a matrix that is quantized.
     */
    loss?: number | null;
}

/** What the types under a budget were chosen by. */
export interface TypeChoice {
    /**
     * Whether it was measured how much the model's output changes if a matrix is rounded. The sum of all `loss` then
     * predicts this change (`measure`). It is not measured without a calibration text, or where the model does not
     * fit into memory.
     */
    isMeasured: boolean;
    /** How the change is measured: the mean KL divergence; for encoders the mean of 1 - cosine of embeddings. */
    measure: 'divergence' | 'cosine';
    /** The same for people: the end of a sentence that begins with "the types were chosen by". */
    chosenBy: string;
}

/**
 * Compares models with a base, which is the first: usually quantized ones with the model that they were made of. All
 * must have the base's vocabulary. The text is cut into windows as `model.perplexity()` does it, and for each token
 * that is scored there both models' predictions are compared, in double precision. Models are sources, or sources with
 * names.
 *
 * Each model is loaded into a worker of its own: the base, and as many of the others at a time as have 512 MB together,
 * or one. For each such group the base goes through the text once. A stream can be read only once, so it is
 * not checked before its turn.
 *
 * Models that are not causal are refused: they say nothing of the next token. compareEmbeddings() compares them.
 */
export function compare(models: readonly (Source | NamedSource)[], options: CompareOptions): Promise<Comparison>;

/**
 * Compares models that embed texts with a base, which is the first: what they make of the passages of a text.
 * A passage is a paragraph, and blank lines separate them; in a text that has few, lines or sentences are passages.
 * Passages of at most 40 characters, such as headings, are left out, and so are repeated ones. A passage that is
 * longer than the context is cut. It is meant for encoders, but takes any model that embed() takes.
 *
 * The models are loaded one at a time, beside the base.
 */
export function compareEmbeddings(
    models: readonly (Source | NamedSource)[],
    options: EmbeddingCompareOptions,
): Promise<EmbeddingComparison>;

export interface NamedSource {
    source: Source;
    /** Default: its URL or path, or the File's name. */
    name?: string;
}

export interface CompareOptions {
    /** The text, or its token ids. */
    text: string | ArrayLike<number>;
    /** The same as perplexity()'s. */
    context?: number;
    /** The same as perplexity()'s. */
    stride?: number;
    /** Compare the weights, too. Default: true. */
    weights?: boolean;
    /** Measure tokens per second, too: the median of 3 runs of 128 tokens of prompt and 32 generated (less where the
     * context is smaller), after one to warm up. Default: true. */
    speed?: boolean;
    /** The same as load()'s. */
    threads?: LoadOptions['threads'];
    kvType?: LoadOptions['kvType'];
    precision?: LoadOptions['precision'];
    build?: LoadOptions['build'];
    /** Called some 20 times a second. If it throws, compare() rejects. */
    onProgress?: (progress: CompareProgress) => unknown;
    /** Aborting it ends the workers; compare() rejects with its reason. */
    signal?: SignalLike;
    /** The same as load()'s. */
    wasmUrl?: LoadOptions['wasmUrl'];
    workerUrl?: LoadOptions['workerUrl'];
    poolWorkerUrl?: LoadOptions['poolWorkerUrl'];
    templateUrl?: LoadOptions['templateUrl'];
}

export interface EmbeddingCompareOptions extends Omit<CompareOptions, 'text' | 'stride'> {
    /** The text, or an array of its passages, which are taken as they are. */
    text: string | readonly string[];
    /** At most so many passages, from the beginning of the text: from 3 to 1000. Default: 100. */
    passages?: number;
    /** The most tokens of a passage. Default: the context that load() takes by default. */
    context?: number;
    /** Measure tokens per second, too, over the passages. Default: true. */
    speed?: boolean;
}

export interface CompareProgress {
    /** Name of the model that is loaded or measured. */
    model: string;
    doing: 'loading' | 'speed' | 'text' | 'weights';
    /** Tokens of the text so far, of all models; compareEmbeddings() counts passages. */
    done: number;
    /** 0 while unknown. */
    total: number;
    /** null while unknown. */
    secondsLeft: number | null;
}

export interface Comparison {
    base: ComparedFacts;
    models: ComparedModel[];
    /** How many tokens were compared. */
    tokens: number;
    windows: number;
    context: number;
    stride: number;
    /** The position in a window of the first token that is compared. */
    firstPosition: number;
}

export interface ComparedSize {
    name: string;
    /** Size of the file. */
    bytes: number;
    parameters: number;
    /** Bits of the file for each weight; of a file with `simulated` weights, as if it had their codes. */
    bitsPerWeight: number;
    /** Absent if the weights were not rounded to a simulated grid. */
    simulated?: Simulated;
    /** Linear memory that the loaded model holds, with the KV cache of one window. */
    memoryBytes: number;
}

export interface ComparedFacts extends ComparedSize {
    perplexity: number;
    /** Standard error of the perplexity. */
    standardError: number;
    /** Absent without `speed`. */
    promptTokensPerSecond?: number;
    generateTokensPerSecond?: number;
}

/** A mean, and its standard error. */
export interface Mean {
    mean: number;
    standardError: number;
}

export interface ComparedModel extends ComparedFacts {
    /**
     * ln of the model's perplexity over the base's. It is the mean of differences at the same tokens, so its error is
     * much smaller than the errors of the perplexities.
     */
    logRatio: Mean;
    /** KL(base || model) of the next token, in nats (Kullback and Leibler 1951). */
    divergence: Mean & {
        median: number;
        /** 99 % of the tokens have less. */
        p99: number;
        largest: number;
        /** Means over the windows, from `firstPosition` on. */
        byPosition: number[];
        byWindow: number[];
    };
    /** Share of the tokens where both find the same next token likeliest. */
    sameTop: Mean;
    /** Absent without `weights`. */
    weights?: ComparedWeights;
}

export interface EmbeddingComparison {
    base: EmbeddedFacts;
    models: EmbeddedModel[];
    /** How many passages were embedded. */
    passages: number;
    /** Tokens of all passages, with special tokens and prompts. */
    tokens: number;
}

export interface EmbeddedFacts extends ComparedSize {
    /** Tokens of passages that are embedded in a second, one passage after the other. Absent without `speed`. */
    tokensPerSecond?: number;
}

export interface EmbeddedModel extends EmbeddedFacts {
    /** 1 - cosine between the model's vector of a passage and the base's. */
    distance: Mean & { largest: number; byPassage: number[] };
    /**
     * Whether both find the same passages similar: Spearman's rank correlation of the cosines of all pairs of
     * passages. null if one model finds all pairs equally similar.
     */
    rankCorrelation: number | null;
    /** Absent without `weights`. */
    weights?: ComparedWeights;
}

export interface ComparedWeights {
    /** Relative root mean square error of all these matrices. */
    error: number;
    /** The matrices that both models have in the same shape. */
    matrices: ComparedMatrix[];
    /**
     * How many weights lie in each of 80 bins of equal width, from -4 to 4 root mean squares of the base's matrix; what
     * lies outside is in the first or the last. Of all layers together.
     */
    histograms: { kind: string; before: number[]; after: number[] }[];
}

export interface ComparedMatrix {
    /** The tensor's name in a GGUF, without its layer and ".weight", such as "ffn_down". */
    kind: string;
    /** null: of no layer. */
    layer: number | null;
    baseType: string;
    type: string;
    /** sqrt(sum (w - base)^2 / sum base^2) */
    error: number;
}

/**
 * Trains a tokenizer, byte-level BPE, on texts, in a worker of its own:
 *
 *     const { json } = await trainTokenizer('text.txt', { vocabulary: 4096, special: ['<|endoftext|>'] });
 *
 * The source is as load() takes it: a path, a URL, a File, bytes, a stream, or an array of paths, URLs and Files, each
 * of which is a text of its own. Texts are in UTF-8; other bytes are used as they are. Tokens and merges are
 * those that the tokenizers library learns from the same text (BpeTrainer, with the alphabet of ByteLevel). As there,
 * special tokens that are written in the text are text like any other.
 */
export function trainTokenizer(
    source: Source | readonly (string | UrlLike | FileLike)[],
    options: TokenizerOptions,
): Promise<TrainedTokenizer>;

export interface TokenizerOptions
    extends Pick<LoadOptions, 'wasmUrl' | 'workerUrl' | 'poolWorkerUrl' | 'templateUrl' | 'debug'> {
    /** Size of the vocabulary, with the 256 bytes and the special tokens. It is less if no pair is left to merge. */
    vocabulary: number;
    /** Special tokens, such as '<|endoftext|>'. They are the first tokens, in this order. */
    special?: string | readonly string[];
    /** A pair that is in the text fewer times is not merged. Default: 0. */
    minFrequency?: number;
    /** The regular expression that cuts a text into words: GPT-2's or Llama 3's. Default: 'gpt-2'. */
    pattern?: 'gpt-2' | 'llama-3';
    /**
     * Treat each line as a text of its own, as the library does when it reads files. Default: false: words may reach
     * over the ends of lines, as when a text is tokenized.
     */
    lines?: boolean;
    onProgress?: (progress: TokenizerProgress) => void;
    signal?: SignalLike;
}

export interface TokenizerProgress {
    /** First the text is read, then pairs are merged. */
    doing: 'reading' | 'merging';
    /** Bytes, or tokens. */
    done: number;
    /** 0: unknown. */
    total: number;
    /** null: too early to tell. */
    secondsLeft: number | null;
}

export interface TrainedTokenizer {
    /** A tokenizer.json, which transformers reads, and load() in a folder. */
    json: string;
    tokens: number;
    merges: number;
    /** The size of the text. */
    bytes: number;
    words: number;
    differentWords: number;
    /** Bytes that are not UTF-8. */
    brokenBytes: number;
}

/**
 * Trains a model of Llama's family on a text, in F32, in a worker of its own:
 *
 *     const training = await train('model.gguf', { data: text, steps: 1000 });
 *     for await (const { step, loss } of training) console.log(step, loss);
 *     await training.model().pipeTo(file); // a GGUF in F32, or with `qat` in the types that were trained for
 *     await training.dispose();
 *
 * The source is as load() takes it, but no stream, as it is read twice: a GGUF of any types, which are read as F32, or
 * a folder. Or it is a NewModel, whose weights are random numbers. A model that has what the trainer lacks, such as
 * biases, is refused with an error that names it. The same source, data, options and seed give the same bits on every
 * device, with any number of threads.
 */
export function train(source: Source | NewModel, options: TrainOptions): Promise<Training>;

/**
 * Tunes a quantized model: the codes of its weights stay, and their scales and minima, and the norms, learn from the
 * logits of the model that it was made of. The divergence from that model falls, and the file keeps its types and its
 * size:
 *
 *     const tuning = await tune('model.Q2_K.gguf', { teacher: 'model.gguf', data: text });
 *     for await (const { step, loss } of tuning) console.log(step, loss); // loss: the divergence, in nats
 *     await tuning.model().pipeTo(file);
 *
 * The source is a GGUF of Llama's family, in one file or several. Tensors of these types are tuned: Q4_0, Q4_1, Q5_0,
 * Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, TQ2_0, Q2_0; others stay as they are. It is a training otherwise, and goes
 * on from checkpoints in the same way.
 */
export function tune(source: Source, options: TuneOptions): Promise<Training>;

/** rate: as a share of each scale. Default: 0.001. steps: default 300. */
export interface TuneOptions extends Omit<TrainOptions, 'decay' | 'optimizerBits' | 'qat' | 'teacher'> {
    /** The model that was quantized: a GGUF, whose weights are read as F32, or a folder. */
    teacher: Source;
}

/**
 * A model of Llama's family with random weights, which the seed decides: normally distributed with a standard deviation
 * of 0.02 (or the config's initializer_range), divided by sqrt(2 layers) for matrices whose products are added to the
 * residual stream (Radford et al. 2019, section 2.3).
 */
export interface NewModel {
    /** What a config.json says: hidden_size, intermediate_size, num_hidden_layers, num_attention_heads ... */
    config: object;
    /** Files of the tokenizer, such as tokenizer.json and tokenizer_config.json. */
    tokenizer: readonly (string | UrlLike | FileLike)[];
}

export interface TrainOptions
    extends Pick<LoadOptions, 'wasmUrl' | 'workerUrl' | 'poolWorkerUrl' | 'templateUrl' | 'debug'> {
    /** A text, several texts (each gets the tokens that the vocabulary wants around a text), or tokens. */
    data: string | readonly string[] | ArrayLike<number>;
    /** Number of steps. Default: 1000. */
    steps?: number;
    /** Sequences that a step learns from. Default: 8. */
    batch?: number;
    /** Tokens of a sequence. Default: 256, or the model's own context if that is smaller. */
    length?: number;
    /**
     * Sequences of a batch that are in memory at once, a micro-batch. Default: as many as have 4096 tokens, or fewer if
     * memory is short. Another number adds gradients in another order, so the last bits of the result differ.
     */
    part?: number;
    /** The highest learning rate. Default: 0.001. For a model that is trained already, take a tenth of it, or less. */
    rate?: number;
    /** The learning rate at the last step; it falls there along half a cosine wave. Default: a tenth of the highest. */
    lastRate?: number;
    /**
     * First steps, in which the learning rate rises linearly. Default: 100, or a tenth of all steps if that is less.
     */
    warmup?: number;
    /** AdamW's weight decay of matrices; each step multiplies it by the learning rate. Default: 0.1. */
    decay?: number;
    /** The largest norm of all gradients together; larger ones are scaled down to it. 0: off. Default: 1. */
    clip?: number;
    /** How much of AdamW's first moment, the gradients' mean, is kept at each step. Default: 0.9. */
    beta1?: number;
    /** How much of AdamW's second moment, the mean of their squares, is kept at each step. Default: 0.95. */
    beta2?: number;
    /**
     * Bits of each of the two moments that AdamW keeps for a weight: 32, or 8 with a scale for each 256 of them
     * (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization"). With 8 bits training takes 10 bytes for a
     * weight instead of 16. Moments of the token embedding and of small tensors stay in 32 bits. Default: 32.
     */
    optimizerBits?: 8 | 32;
    /** Decides the order of the data, and a new model's weights: any whole number, modulo 2^32. Default: 0. */
    seed?: number;
    /** Share of the text, at its end, that is held out to measure the loss on it: 0 to 0.9. Default: 0. */
    validation?: number;
    /** Steps between two such measurements; the last step has one, too. Default: 100. */
    validateEvery?: number;
    /** Parse the special tokens that are written in the text. Default: false. */
    special?: boolean;
    /** Quantization-aware training: what is rounded in each pass. Default: nothing. */
    qat?: QatOptions;
    /**
     * A model with the same vocabulary, whose logits are learned instead of the text (Hinton et al. 2015). It is
     * refused if a token of the text is another one in it. The loss is the divergence KL(teacher || model) of the next
     * token. A GGUF, whose weights are read as F32, or a folder.
     */
    teacher?: Source;
    /** The same as load()'s. */
    threads?: number;
    /**
     * What checkpoint() gave in an earlier run: this one goes on from there, with the same bits as if there had been no
     * break. Source, data and options must be the same; only `threads` and `validateEvery` may differ.
     */
    checkpoint?: Uint8Array;
    /** Ends everything at once. To lose nothing, leave the loop and ask for a checkpoint instead. */
    signal?: SignalLike;
}

/** What weights can be trained for: types whose grids the trainer rounds to, bit for bit. */
export type QatType =
    | 'q8_0'
    | 'q6_k'
    | 'q5_k'
    | 'q5_1'
    | 'q5_0'
    | 'q4_k'
    | 'q4_1'
    | 'q4_0'
    | 'q3_k'
    | 'q2_k'
    | 'q2_0'
    | 'tq2_0'
    | 'f32';

/**
 * Quantization-aware training: weights stay in F32, each pass computes with what they are rounded to, and gradients
 * pass the rounding as if it were not there (Bengio et al. 2013). What model() writes are the rounded weights, in their
 * type, to the last bit.
 *
 *     const training = await train('model.gguf', { data: text, rate: 1e-4, qat: { type: 'q4_0' } });
 */
export interface QatOptions {
    /** What the layers' matrices are trained for. Default: 'f32', which is not rounded. Norms are always F32. */
    type?: QatType;
    /**
     * Types of single matrices: pairs of a pattern and a type, as `tensors` of quantize() has them. A pattern that is
     * found in the name of no matrix is refused. Without a pattern for them, the token embedding and the output matrix
     * become Q8_0 if `type` is given, and F32 where their rows are no multiple of 32.
     */
    tensors?: { readonly [pattern: string]: QatType } | readonly (readonly [string, QatType])[];
    /**
     * Which weights share a scale in matrices of this `type`: those of a 'block' (the default), of a 'row', which is an
     * output channel, or of the whole matrix, the 'tensor' (the default of `scales: 'absmean'`). The superblocks
     * of K-quants fix the groups.
     */
    group?: 'block' | 'row' | 'tensor';
    /**
     * 'learned' (the default): scales, and minima of types that have them, are parameters (LSQ, Esser et al. 2020), and
     * begin with those of the least squared error. 'absmean': the scale is the mean magnitude of the weights, for the
     * types q2_0 and tq2_0 (BitNet b1.58, Ma et al. 2024).
     */
    scales?: 'learned' | 'absmean';
    /**
     * How fast the ends of learned ranges, of weights and of inputs, move, relative to the weights: a factor of their
     * learning rate. Default: 1.
     */
    scaleRate?: number;
    /** The inputs of the layers' matrices are rounded to so many bits, 2 to 8. Default: they are not. */
    activations?: number;
    /**
     * The range that `activations` cover: of each 'token' (the default); a moving 'average' over micro-batches
     * (Jacob et al. 2018, section 3.1); or 'learned' (LSQ).
     */
    ranges?: 'token' | 'average' | 'learned';
    /** The range of `activations` need not be symmetric about 0. Default: false. */
    asymmetric?: boolean;
    /** With `ranges: 'average'`: steps after which the range stays as it is. Default: it always moves. */
    freezeAfter?: number;
    /**
     * The gradients of the results of the layers' matrices are rounded to so many bits, 2 to 8, at random and without
     * bias (DoReFa, Zhou et al. 2016). Default: they are not.
     */
    gradients?: number;
}

/**
 * A training. Each step is computed when the loop asks for it, so checkpoint() and model() within the loop belong to
 * the last step that the loop was given. A loss that is NaN or infinite ends the loop with an error that names the
 * step.
 */
export interface Training extends AsyncIterable<TrainStep> {
    readonly info: TrainingInfo;
    /** Steps that are done. */
    readonly step: number;
    /**
     * All that another run needs to go on, and the losses of all steps: 12 bytes for each parameter, or 6 with
     * `optimizerBits: 8`, and a few bytes for each step.
     */
    checkpoint(): Promise<Uint8Array>;
    /**
     * The model as it is: a GGUF in F32, with all that the source says of its vocabulary. Of tune(): in the source's
     * types. With `qat`: in the types that weights are rounded to. While it is read, no step is computed: read it to
     * its end, or cancel it.
     */
    model(): ByteStream;
    /** Ends the worker and frees everything. */
    dispose(): Promise<void>;
}

export interface TrainingInfo {
    parameters: number;
    /** Tokens of the data. */
    tokens: number;
    /** How many sequences the data has to learn from, and how many are held out. */
    sequences: number;
    heldOut: number;
    /** All steps, and how many of them the checkpoint had done. */
    steps: number;
    step: number;
    batch: number;
    length: number;
    part: number;
    threads: number;
    memoryBytes: number;
    /** The losses of the steps that the checkpoint had done. */
    history: readonly Pick<TrainStep, 'step' | 'loss' | 'validationLoss'>[];
}

export interface TrainStep {
    /** The number of steps that are done, from 1. */
    step: number;
    /**
     * The mean cross-entropy of the step's tokens, before the weights change, in nats. With a teacher: the mean
     * divergence from it.
     */
    loss: number;
    /** The learning rate. */
    rate: number;
    /** The gradient's norm, before it was clipped. */
    norm: number;
    tokensPerSecond: number;
    /** Time that the remaining steps take, with the measurements of the held-out text. */
    secondsLeft: number;
    /** The loss of the held-out text after the step, in steps that measured it. */
    validationLoss?: number;
}

/**
 * A LoRA adapter and its factor. Scale 1, which is the default, is what the adapter was trained for; 0 is off. A name
 * alone means scale 1.
 */
export interface AdapterScale {
    readonly name: string;
    readonly scale?: number;
}

/** An adapter for load(): a source, or one with a name and a scale. */
export type AdapterSource =
    | Source
    | {
          readonly source: Source;
          /** Default: as in addAdapter(). */
          readonly name?: string;
          readonly scale?: number;
      };

/** An adapter that a model has. */
export interface AdapterInfo {
    name: string;
    /** With which requests use it that do not say otherwise; 0: they do not use it. */
    scale: number;
    /** Bytes of memory. */
    bytes: number;
}

export interface LoadOptions {
    /**
     * Threads to compute with. Default: half of the logical processors, or all if there are at most 4; at most 8.
     * There is at most one thread for each logical processor, unless `build` is given. Without shared memory
     * (on a page that is not cross-origin isolated) there is 1 thread. `info.threads` is the number.
     */
    threads?: number;
    /** Tokens that prompt and answer may have together. Default: the model's own, at most 4096. */
    contextLength?: number;
    /**
     * Quantizes floating-point weights while they are loaded, tensor by tensor. Weights that are quantized already
     * stay as they are. What needs an importance matrix (see Preset) needs `imatrix`.
     */
    quantize?: Preset;
    /** With `quantize`: the file of an importance matrix (llama.cpp's imatrix, .dat or GGUF), so that errors of
     * important columns count more. */
    imatrix?: Uint8Array;
    /** With quantize 'nf4' or 'fp4': quantize the scales, too. Default: false. */
    doubleQuant?: boolean;
    /**
     * Number format of the KV cache. Default: 'i16', 16-bit integers with a scale for every 32 or 64 of
     * them. It is as small as 'f16', at least as exact, and faster. 'q8_0' takes about half the memory, 'q4_0' a
     * little more than a quarter, and some models lose much by it, nearly all by keys; 'q8_0/q4_0', keys and values,
     * takes two fifths (docs/measuring.md); 'f32' rounds nothing.
     */
    kvType?: 'i16' | 'f16' | 'f32' | 'q8_0' | 'q8_0/q4_0' | 'q4_0';
    /**
     * Memory, in bytes or as a text such as '500MB', for conversations besides the last one. Without it, a request
     * goes on only from the last one. With it, what the model remembers is kept when another conversation comes, so
     * that no conversation is evaluated again; the one that was not used for the longest time is forgotten first. It
     * comes on top of `info.memoryBytes`. Models that cannot continue a text, and models of integers, ignore it.
     * Default: none.
     */
    cacheSize?: number | string;
    /**
     * How many answers are computed together, at most: 1 to 64. With 1, requests are answered one after the other.
     * With more, requests that come at the same time, and the `n` answers of a request in OpenAI's form, share each
     * pass through the weights: each takes longer, and all together take less time. Each has a context of its own, so
     * the KV cache takes up to `parallel` times the memory; a beginning that several have in common is held once. An
     * answer is the same, whatever else is computed with it. Models that cannot continue a text, and models of
     * integers, ignore it. Default: 1.
     */
    parallel?: number;
    /** LoRA adapters to begin with, as addAdapter() takes them. */
    adapters?: readonly AdapterSource[];
    /**
     * A draft model: a smaller one with the same vocabulary, which guesses what the model will say, several tokens at a
     * time. The model checks the guesses, so its answers stay the same, and come faster if the draft is much quicker
     * and mostly right. Where that does not pay, it rests (docs/javascript.md). If it fails, answers go on without it.
     * It is loaded before the model, as it is, without `quantize` and `adapters`. The option `speculate` of a request
     * says more. Another vocabulary, models that cannot continue a text, and models of integers are refused before any
     * weights are fetched.
     */
    draft?: Source;
    /** 'exact' (the default) keeps activations in 16 bits; 'fast' takes 8 bits where that is faster, as other
     * engines do. */
    precision?: 'exact' | 'fast';
    /** Called some 20 times a second, and once at the end. If it throws, the load fails. */
    onProgress?: (progress: Progress) => unknown;
    /** Aborting it ends the load and frees everything; `load` rejects with its reason. */
    signal?: SignalLike;
    /**
     * Where the .wasm files are: a folder; one file, named nibble-BUILD.wasm or of the `build` that is given; or a
     * map from builds, 'convert', 'quantize', 'quantize-threads', 'train', 'train-threads', 'integer',
     * 'integer-threads' and 'grammar' to files of any names.
     * With a map, only the builds that it names are used. If the file of a build is not there, the next best build
     * is used. In a page URLs are relative to the page; in Node a text without a scheme is a path. Default: build/wasm/ of the package, which most bundlers find and copy.
     */
    wasmUrl?:
        | string
        | UrlLike
        | {
              readonly [name in
                  | Build
                  | IntegerBuild
                  | 'convert'
                  | 'quantize'
                  | 'quantize-threads'
                  | 'train'
                  | 'train-threads'
                  | 'grammar']?: string | UrlLike;
          };
    /** The script of the engine's worker. Default: build/engine-worker.js of the package. */
    workerUrl?: string | UrlLike;
    /** The script of the other threads. Default: build/pool-worker.js of the package. */
    poolWorkerUrl?: string | UrlLike;
    /** The renderer of chat templates, loaded when chat() needs it. Default: build/jinja.js of the package. */
    templateUrl?: string | UrlLike;
    /** Forces a build, for tests. Default: the fastest that this engine runs correctly. */
    build?: Build;
    /**
     * Tells what happens, to find a problem: each stage of the load with its bytes, tensor and time,
     * which build was chosen and why not another, and the timings of each request. true prints the lines, in Node
     * on standard error and in a page with console.debug(); a function gets each line. In Node the environment
     * variable NIBBLE_DEBUG=1 does what true does, where this option is not given. The words of the lines may
     * change with any version. Default: false.
     */
    debug?: boolean | ((line: string) => void);
    /** Reads the file's header only: `info`, `tokenize` and `detokenize` work, nothing else. */
    headerOnly?: boolean;
}

export interface Progress {
    /** Bytes so far. */
    loaded: number;
    /** Bytes of the whole file; with a draft, of both files, the draft's first. 0 while unknown. */
    total: number;
    /** Bytes a second, over the last seconds. */
    rate: number;
    /** null while unknown. */
    secondsLeft: number | null;
    /**
     * With a method that calibrates: quantize() before its first byte, or quantizeFolder() until all layers are made.
     * Meanwhile `loaded` and `total` count the bytes of finished blocks; afterwards, of what is written.
     */
    calibration?: {
        /** The current layer, from 0, and the number of layers. */
        layer: number;
        layers: number;
        /** What is done: a group's inputs are observed, scales of columns are searched for (AWQ), it is
         * quantized, or the text passes on to the next layer. */
        stage: 'observe' | 'scale' | 'quantize' | 'pass';
        /** The first tensor that it is done for. */
        tensor: string;
        /** How much of all layers is done, from 0 to 1. */
        share: number;
    };
    /** quantize() before that, with `bits` or `size`: the tensor that is measured, or "importance", and how much is
     * done, from 0 to 1. */
    measuring?: { tensor: string; share: number };
    /** quantize() with `simulate`: how many weights so far lay outside the ranges that were chosen. */
    clipped?: number;
}

export interface Model {
    /** What the file says about itself, and how it is being run. */
    readonly info: ModelInfo;

    /**
     * Continues a text, or token ids. A text gets the beginning token that the model wants; special tokens written
     * in it are plain text unless `special` is set. Generations of one model run one after another, or as many together
     * as `parallel` of load() says. A prefix that a prompt shares with the previous one is not computed again.
     */
    complete(prompt: string | ArrayLike<number>, options?: GenerateOptions): Generation;
    /**
     * Writes the text that is missing between two others, which are plain texts. The model's vocabulary must have
     * tokens for that, as those of most models for code do; others are refused with NB_ERR_UNSUPPORTED.
     */
    complete(prompt: { prefix: string; suffix: string }, options?: Omit<GenerateOptions, 'special'>): Generation;

    /**
     * Answers a conversation, by the model's own chat template. A text stands for one message of the user.
     * Whatever the messages contain, they cannot write special tokens, so nobody can forge a turn.
     * `chat.completions.create()` does the same with the requests and answers of OpenAI's API.
     */
    readonly chat: Chat;

    /**
     * Answers a conversation, and runs the functions that the model calls, until an answer has no calls. The calls of
     * one answer are run together. If a function throws, or is not there, the model is told of the error.
     */
    runTools(
        messages: string | readonly Message[],
        tools: readonly RunnableTool[],
        options?: RunToolsOptions,
    ): Promise<ToolRun>;

    /** `completions.create()` is complete() with the requests and answers of OpenAI's API. */
    readonly completions: Completions;

    /** `embeddings.create()` is embed() with the requests and answers of OpenAI's API. */
    readonly embeddings: Embeddings;

    /**
     * The prompt that chat() would make of these messages by the model's own chat template, and the tokens that it
     * would feed the model. In `text` a special token that the template writes looks like the same characters in a
     * message; `tokens` tell them apart.
     */
    applyTemplate(
        messages: string | readonly Message[],
        options?: TemplateOptions & Abortable,
    ): Promise<{ text: string; tokens: number[] }>;

    /** Token ids of a text, with the beginning and end tokens that the model would be fed. */
    tokenize(text: string, options?: TokenizeOptions): Promise<number[]>;

    /**
     * The text of token ids, which are taken for a whole text: detokenize(await tokenize(text)) does not begin with a
     * space that the text lacks. Special tokens give no text, unless `special` is set; tokens that the tokenizer
     * does not know give none.
     */
    detokenize(tokens: ArrayLike<number>, options?: DetokenizeOptions): Promise<string>;

    /**
     * The logits after each token, in pieces of [rows, vocabulary], in order. They are computed while they are
     * read, and not kept; other requests may come in between.
     */
    logits(tokens: ArrayLike<number>, options?: Abortable): AsyncGenerator<Float32Array, void, undefined>;

    /**
     * The embedding of a text, by an encoder or by any other model.
     *
     * With modules.json, a folder is computed as sentence-transformers does: its pooling, its Dense and LayerNorm
     * modules, its default prompt; a text that is too long is cut. The vector has length 1 if the folder has a
     * Normalize module. For all other models the tokens' vectors are pooled as the file says; if it says nothing,
     * an encoder's vector is their mean, and another model's is the last one. It is scaled to length 1, so that
     * cosines are dot products.
     */
    embed(input: string | ArrayLike<number>, options?: EmbedOptions): Promise<Float32Array>;

    /**
     * Sorts documents by how well they answer a query, best first, with a reranker: a BERT, RoBERTa or XLM-RoBERTa
     * model whose head scores pairs of texts, such as bge-reranker or ms-marco-MiniLM. The model reads the query with
     * each document, one after another. A document that does not fit the context beside the query is cut at its end;
     * a query that leaves no room is refused. Other models are refused.
     */
    rerank(query: string, documents: readonly string[], options?: RerankOptions): Promise<RankedDocument[]>;

    /**
     * The perplexity of a text, as llama.cpp's `llama-perplexity` computes it: e to the mean negative
     * log-likelihood of the text's tokens, each given those before it in its window. A window has `context` tokens,
     * the first of which becomes the model's beginning token, where it has one. The second half of each window
     * is scored (`context` / 2 - 1 tokens); what is left over at the end of the text is not used. With a `stride`
     * smaller than the context, windows begin that many tokens apart, and the last `stride` tokens of each are
     * scored, as by `llama-perplexity --ppl-stride`, whose windows are half a stride longer than its context option
     * says. Models that are not causal are refused.
     */
    perplexity(text: string | ArrayLike<number>, options?: PerplexityOptions): Promise<Perplexity>;

    /**
     * The importance matrix of the model over a text: of each matrix in the layers, and of each of its columns, the
     * sum of the squares of the column's inputs. Quantizers weight errors by it. The text is cut into
     * windows as perplexity() does it, all tokens of which count. A window of an encoder, or of another model whose
     * tokens see those that follow, is a text of its own: the special tokens that the tokenizer puts around a text are
     * its ends. (If tokens are given instead of a text, leave them out.) The bytes are a file as llama.cpp's
     * `llama-imatrix` writes it.
     */
    importanceMatrix(text: string | ArrayLike<number>, options?: ImportanceOptions): Promise<ImportanceMatrix>;

    /**
     * What the model remembers of the last request: the tokens of its prompt and answer, with their keys and values
     * (the KV cache). Keep the bytes where you like, and restore() them later, also in another page or process.
     * 1,000 tokens of SmolLM2-135M take 24 MB. The bytes contain the conversation: keep them as you would keep its
     * text.
     * Models that cannot continue a text (encoders), and models of integers, are refused.
     */
    save(options?: Abortable): Promise<Uint8Array>;

    /**
     * Adds a LoRA adapter to the model: a GGUF of llama.cpp's convert_lora_to_gguf.py, or the folder that PEFT has
     * written (adapter_config.json and adapter_model.safetensors), from any source that load() takes; a URL of a folder
     * ends with a slash. The model's weights stay as they are: products of the adapter's narrow matrices are added, so
     * that adapters can be combined and changed at any time. `name` is for the methods below; by default it is the
     * file's or folder's. `scale` is its factor from now on; 1 by default. docs/adapters.md says what is supported.
     */
    addAdapter(source: Source, options?: Abortable & { name?: string; scale?: number }): Promise<AdapterInfo>;

    /**
     * The adapters of requests that have no `adapters` of their own, and their scales. Those that are not named are not
     * used. At most 16 can be used at once.
     */
    setAdapters(adapters: readonly (AdapterScale | string)[], options?: Abortable): Promise<void>;

    /** Removes an adapter, and frees its memory. */
    removeAdapter(name: string, options?: Abortable): Promise<void>;

    /** All adapters that were added. */
    readonly adapters: AdapterInfo[];

    /**
     * Remembers what save() gave, and returns its tokens. A request whose prompt begins with the same tokens evaluates
     * only the rest, and gives what it would have given without save() and restore(), if the model's `precision` is
     * the same. It must be the same model, loaded with the same `quantize` and `kvType`, in the same build where
     * builds store weights differently, and with enough `contextLength`. All of this is checked, and damage is found;
     * whoever changes the bytes on purpose can change what the model says, but nothing else. If it fails, the model
     * may remember nothing.
     */
    restore(saved: Uint8Array | ArrayBuffer, options?: Abortable): Promise<number[]>;

    /** Ends the worker and frees the memory. What is still pending rejects with code NB_ERR_STATE. */
    dispose(): Promise<void>;
}

/** `model.chat`: a function that answers; its `completions` are those of OpenAI's API. */
export interface Chat {
    (messages: string | readonly Message[], options?: ChatOptions): Generation;
    readonly completions: ChatCompletions;
}

export * from './openai/types.js';

export interface Abortable {
    /** Aborting it ends the request: it rejects at once with the signal's reason, and work that has not begun is not
     * done. */
    signal?: SignalLike;
}

/** How far a request over a text is. */
export interface TextProgress {
    /** Tokens so far. */
    done: number;
    /** Tokens of all windows. */
    total: number;
    /** null while unknown. */
    secondsLeft: number | null;
}

export interface WalkOptions extends Abortable {
    /** Tokens of a window, special tokens included. Default: 512, or the model's own context if that is smaller; more
     * than that is refused. For an encoder at most `info.embedding.maxTokens`, as many as it uses of a text. */
    context?: number;
    /** Called some 20 times a second, and once at the end. If it throws, the request fails. */
    onProgress?: (progress: TextProgress) => unknown;
}

export interface PerplexityOptions extends WalkOptions {
    /** Each window begins so many tokens after the one before. At most `context`, which is the default. */
    stride?: number;
}

export interface Perplexity {
    perplexity: number;
    /** Standard error of the perplexity. */
    standardError: number;
    /** The mean over the tokens that were scored, in nats. */
    negativeLogLikelihood: number;
    /** How many tokens were scored. */
    tokens: number;
    windows: number;
    context: number;
    stride: number;
}

export interface ImportanceOptions extends WalkOptions {
    /** 'gguf', or 'dat', which older tools read. Default: 'gguf'. */
    format?: 'gguf' | 'dat';
    /** The name of the text, which the file keeps. Default: ''. */
    textName?: string;
}

export interface ImportanceMatrix {
    /** The file. */
    bytes: Uint8Array;
    /** How many tokens were evaluated. */
    tokens: number;
    windows: number;
    context: number;
}

export interface EmbedOptions extends Abortable {
    /** How one vector is made of the tokens' vectors. With a value other than 'file', it is scaled to length 1, and the
     * folder's modules are left out. */
    pooling?: 'file' | 'mean' | 'cls' | 'last';
    /** What is put before the text. Default: the folder's default prompt, if it has one; '' for none. */
    prompt?: string;
    /** The name of a prompt that the model's folder has, instead of `prompt` (`info.embedding.prompts`). */
    promptName?: string;
}

export interface RerankOptions extends Abortable {
    /** How many results to give. Default: one for each document. */
    topN?: number;
    /** Is called from time to time, with how many documents have their score. */
    onProgress?: (progress: { done: number; total: number }) => unknown;
}

export interface RankedDocument {
    /** The document's place in the array that was given. */
    index: number;
    /** The logit of the model's head, as it is. Only its order means something: larger is more relevant. */
    score: number;
    /** 1 / (1 + e^-score), a number from 0 to 1: sentence-transformers' score of most rerankers. */
    relevance: number;
    document: string;
    /** The document was too long for the context, and only its beginning was read. */
    truncated: boolean;
}

export interface TokenizeOptions extends Abortable {
    /** Special tokens written in the text are parsed as such. Default: they are text. */
    special?: boolean;
    /** Leave off the beginning and end tokens. */
    bare?: boolean;
}

export interface DetokenizeOptions extends Abortable {
    /** Special tokens are written, too. Default: they give no text. */
    special?: boolean;
}

export interface Message {
    /** 'system', 'user', 'assistant', or what else the model's template knows. */
    role: string;
    /**
     * A text, or parts of one. A template that looks into parts gets the parts; any other gets their texts, joined
     * by line ends. A message with something else, such as tool_calls, may have no content.
     */
    content?: string | null | readonly { readonly type: 'text'; readonly text: string }[];
    /** Anything else that the template reads. (`any`, because an interface without an index signature does not fit
     * `unknown`.) */
    [key: string]: any;
}

/** What a model's chat template is given in addition to the messages. */
export interface TemplateOptions {
    /** End with the generation prompt, which begins the model's answer. Default: true. */
    addGenerationPrompt?: boolean;
    /** What the model may call, as its template expects it; mostly { type: 'function', function: { name, description,
     * parameters } }. */
    tools?: readonly object[];
    /**
     * 'auto' (the default): the model calls `tools` if it wants to. 'none': it is not told of them. 'required': the
     * answer is at least one call. { name }: it is one call of this function. A grammar holds the last two to the form
     * of calls and to `parameters`, a JSON Schema, so they do not go with `grammar` or `schema` (docs/chats.md).
     */
    toolChoice?: 'auto' | 'none' | 'required' | { readonly name: string };
    /**
     * Go on from the last message, which is the beginning of an answer. Default: true if the assistant wrote it; false
     * makes the model answer it.
     */
    continueFinalMessage?: boolean;
    /**
     * Whether the model thinks before it answers: true, false, or at most so many tokens. At the limit the thought is
     * ended, and the answer goes on. true and a limit set `enable_thinking` and `thinking` for the template. false
     * sets both to false; if the template reads neither, the model is given an empty thought. Models that do not think
     * ignore it. Default: as the template has it.
     */
    thinking?: boolean | { maxTokens: number };
    /** Documents that the answer may draw on, for templates that know documents. */
    documents?: readonly object[];
    /** Further variables of the template, such as { enable_thinking: false }. */
    templateVariables?: Readonly<Record<string, unknown>>;
}

export interface ChatOptions extends Omit<GenerateOptions, 'special'>, TemplateOptions {
    /** false: the answer ends with the first call of a function. Default: true. */
    parallelToolCalls?: boolean;
}

/** A function that the model may call. */
export interface RunnableTool {
    name: string;
    /** What it does, for the model. */
    description?: string;
    /** A JSON Schema of its arguments, for the model. Nothing checks the arguments by it. Default: an object. */
    parameters?: object;
    /** Its result goes to the model: a text as it is, anything else as JSON. The arguments are an object, and the model's
     * word: check them. */
    run(values: any, context: { call: ToolCall; signal?: SignalLike }): unknown;
}

export interface RunToolsOptions extends Omit<ChatOptions, 'tools' | 'toolChoice'> {
    /** How many answers to ask for, at most. The calls of the last one are not run; the result has them. Default: 10. */
    maxRounds?: number;
    /** Called with each piece of each answer. */
    onChunk?: (chunk: Chunk) => unknown;
}

/** The last answer. */
export interface ToolRun extends Result {
    /** The whole conversation: the messages that were given, all answers, and the results of calls. */
    messages: Message[];
}

/** Steps of sampling, by llama.cpp's names and in its order. */
export type Sampler = 'top_n_sigma' | 'top_k' | 'typ_p' | 'top_p' | 'min_p' | 'xtc' | 'temperature';

export interface GenerateOptions {
    /** LoRA adapters for this request, instead of those of setAdapters(). None: []. */
    adapters?: readonly (AdapterScale | string)[];
    /** End the answer after this many tokens. Default: 512. */
    maxTokens?: number;
    /**
     * What happens when the text outgrows the context. 'error': a prompt that is too long is refused, and an answer
     * that fills the context ends with finishReason 'length'. 'slide': the oldest tokens are dropped, of a chat the
     * oldest messages with their answers (never the system's, nor the last one), and the rest is evaluated anew, so
     * that the answer goes on as in a new session with the text that is left. 'shift': the same is dropped, but the KV
     * cache is moved, as llama.cpp's context shift does. That takes little time and is not exact. Models with learned
     * positions refuse it. Half of what may go is dropped at once, so that it happens seldom. `droppedTokens` of the
     * result tells how much it was. Default: 'error'.
     */
    contextOverflow?: 'error' | 'slide' | 'shift';
    /** With contextOverflow 'slide' and 'shift', in complete(): how many of the prompt's first tokens are never dropped;
     * -1: all. Default: the token that begins a text, if there is one. { prefix, suffix } is kept as a whole. */
    keep?: number;
    /** 0 always takes the likeliest token; with higher values answers vary more. Default: 0. */
    temperature?: number;
    /** Choose among the K likeliest tokens; 0: among all. Default: 40. */
    topK?: number;
    /** Choose among the likeliest tokens whose probabilities together reach this; 1: among all. Default: 0.95. */
    topP?: number;
    /** Leave out tokens whose probability is below this times that of the likeliest; 0: leave out none. Default:
     * 0.05. */
    minP?: number;
    /** Choose among tokens whose logits are at most so many standard deviations below the highest; 0: among all.
     * Default: 0. As the options up to `samplers` it counts only with a temperature above 0, and is refused without.
     * (Tang et al. 2024, "Top-nσ") */
    topNSigma?: number;
    /** Choose among the tokens whose surprise is nearest to the expected one, and whose probabilities together reach
     * this; 1: among all. Default: 1. (Meister et al. 2023, "Locally Typical Sampling") */
    typicalP?: number;
    /** XTC: with this probability the top choices are left out, but for the least likely of them; 0: off. Default:
     * 0. */
    xtcProbability?: number;
    /** XTC: a top choice is a token of this probability or more. Default: 0.1. */
    xtcThreshold?: number;
    /** The temperature follows the entropy, from temperature - range where the model is sure to temperature + range
     * where it is not; 0: off. Default: 0. */
    dynatempRange?: number;
    /** The temperature of dynatempRange rises by the normalized entropy to the power of this. Default: 1. */
    dynatempExponent?: number;
    /** Keep the surprise of the tokens near mirostatTau bits, by this version of mirostat: 1, 2; 0: off. Default: 0.
     * (Basu et al. 2021, "Mirostat") */
    mirostat?: 0 | 1 | 2;
    /** The surprise that mirostat aims at, in bits. Default: 5. */
    mirostatTau?: number;
    /** How fast mirostat follows: its learning rate. Default: 0.1. */
    mirostatEta?: number;
    /** What chooses tokens, in this order; what is not named is off. Penalties and DRY come first in any case. Default:
     * all, in the order of the type Sampler; with mirostat 'temperature' alone. */
    samplers?: readonly Sampler[];
    /** Make tokens that occurred already less likely; 1: off. Default: 1. */
    repeatPenalty?: number;
    /** Subtracted from the logit of every token that occurred already. Default: 0. */
    presencePenalty?: number;
    /** Subtracted from the logit of a token for each time that it occurred. Default: 0. */
    frequencyPenalty?: number;
    /** The three penalties count so many of the last tokens; 0: none, -1: all. Default: 64. */
    penaltyLast?: number;
    /** DRY, "don't repeat yourself": subtract dryMultiplier * dryBase ^ (N - dryAllowedLength) from the logit of a
     * token that would go on with a repetition of N tokens, where N is at least dryAllowedLength; 0: off. Default:
     * 0. */
    dryMultiplier?: number;
    /** Default: 1.75. */
    dryBase?: number;
    /** At most 1,000. Default: 2. */
    dryAllowedLength?: number;
    /** DRY looks for repetitions in so many of the last tokens; 0: in none, -1: in all. Default: -1. */
    dryPenaltyLast?: number;
    /** No repetition goes back beyond one of these texts; at most 32, each of at most 63 bytes. Default: a line break,
     * `:`, `"` and `*`. */
    drySequenceBreakers?: string | readonly string[];
    /** Any whole number, taken modulo 2^32: the same seed gives the same answer. Default: a new one each time; the
     * result has it. */
    seed?: number;
    /** End the answer before any of these texts. The text is no part of the result's text, but its tokens are among the
     * result's. */
    stop?: string | readonly string[];
    /** Added to the logits of tokens: `{ 262: -5, ' the': -5 }`. A key that consists of digits is a token id. Any
     * other key is the text of a token, or the name of a special token. A text that is several tokens is refused, and
     * the message has them. In a Map or an array of pairs a number is an id, and a string always a text, such as
     * `[['7', -5]]`. */
    logitBias?:
        | { readonly [tokenOrText: string]: number }
        | ReadonlyMap<number | string, number>
        | readonly (readonly [token: number | string, bias: number])[];
    /** A grammar in GBNF, llama.cpp's form of grammars: the answer's text follows it (docs/structured.md). No token is
     * chosen that could not go on with such a text. If maxTokens or the context ends the answer, its finishReason is
     * 'length', and the text is the beginning of one. */
    grammar?: string;
    /** A JSON Schema (draft 2020-12), or true or {} for any JSON: the answer is JSON that is valid under it. Properties
     * come in the schema's order, and no others unless additionalProperties says so. docs/structured.md lists the
     * keywords; others are refused by name. The model does not see the schema: say in the prompt what to fill in. If
     * maxTokens or the context ends the answer, its finishReason is 'length', and the text is the beginning of one. */
    schema?: object | true;
    /** Tell the log-probability of each token: `logprobs` of the result, and of the generation while it runs. It is the
     * natural logarithm of the probability that the model itself gives the token, before logitBias, penalties,
     * temperature and all other options, as OpenAI's and llama-server's. Default: false. */
    logprobs?: boolean;
    /** With logprobs: tell those of the likeliest tokens at each place, too; 0 to 100. Default: 0. */
    topLogprobs?: number;
    /** Gets the logits before each token is chosen, and may change them in place: [vocabulary], where -Infinity forbids
     * a token. Afterwards come logitBias and all that follows. It may be async, and what it throws ends the generation.
     * The array is lent: it must not be used after the call has ended, or its promise is settled. It must not wait for
     * another request of the same model that computes: that one waits for this generation. */
    onLogits?: (logits: Float32Array, at: LogitsPlace) => void | Promise<void>;
    /** Special tokens that are written in the prompt are parsed as such. Default: they are text. Of complete()
     * alone. */
    special?: boolean;
    /** Go on when the model ends its answer, to measure its speed. */
    ignoreEnd?: boolean;
    /** Where the text repeats itself, guess that what followed the last time follows again, and let the model check
     * several guesses at once (prompt look-up decoding). A draft model, if load() was given one, guesses elsewhere. The
     * answer is the same; it is faster where guesses are mostly right, and where they are not, none are made. Default:
     * true. Not with onLogits, logprobs, grammar or schema, not while several answers are computed together, and not
     * with a model of integers. */
    speculate?: boolean;
    /** Aborting it ends the generation; iterating and awaiting then throw its reason, as fetch does. */
    signal?: SignalLike;
}

/** Where onLogits() is called. */
export interface LogitsPlace {
    /** How many tokens come before the one that will be chosen, those of the prompt among them. */
    position: number;
    /** The answer's tokens so far. */
    tokens: readonly number[];
}

/** A token that could have been chosen. */
export interface TopLogprob {
    /** Its id. */
    token: number;
    /** Its text. A part of a character has U+FFFD there, and a special token its name. */
    text: string;
    /** What it adds to the answer's text, in UTF-8; of a part of a character just this part. null: it adds nothing, as
     * a special token. */
    bytes: number[] | null;
    /** ln of its probability. */
    logprob: number;
}

/** A token of the answer. */
export interface TokenLogprob extends TopLogprob {
    /** The `topLogprobs` likeliest tokens at this place, the likeliest first. */
    top: TopLogprob[];
}

/**
 * An answer on its way: iterate it for the pieces of text as they come, await it for the whole result, or do both.
 * Leaving the loop early stops the generation.
 */
export interface Generation extends AsyncIterable<string>, Promise<Result> {
    /** Token ids so far. */
    readonly tokens: readonly number[];
    /** With the option logprobs: one for each of these tokens. Text may come later than its tokens, as a character may
     * have several, and a stop string may have begun. */
    readonly logprobs?: readonly TokenLogprob[];
    /** Ends it, keeping what there is: iterating ends, awaiting gives finishReason 'abort'. */
    stop(): void;
    /** The pieces of the answer's text. */
    [Symbol.asyncIterator](): AsyncGenerator<string, void, undefined>;
    /** The same with what the model thinks and which functions it calls. */
    chunks(): AsyncGenerator<Chunk, void, undefined>;
}

/** A piece of an answer; what is not in it is empty. */
export interface Chunk {
    text: string;
    /** What the model thinks before it answers. */
    reasoning: string;
    /** Calls that are complete. */
    toolCalls: ToolCall[];
    /** All of it as the model wrote it, with the marks of thoughts and calls. It may come before the others, which are
     * held back while they might be the beginning of such a mark. */
    raw: string;
}

/** A call of a function, as in OpenAI's API and in `tool_calls` of a message. */
export interface ToolCall {
    id: string;
    type: 'function';
    function: {
        name: string;
        /** A JSON object. It is the model's word: check it before you use it. */
        arguments: string;
    };
}

export interface Result {
    /** The answer. Of chat() it is without what the model thought, and without calls of functions. */
    text: string;
    /** What the model thought before it answered, if it did, and how many tokens that took. */
    reasoning?: string;
    reasoningTokens?: number;
    /** The functions of `tools` that the model calls, if it does. Calls that cannot be read are a part of the text. */
    toolCalls?: ToolCall[];
    /** Token ids of all of it, without the model's end token. */
    tokens: number[];
    /** With the option logprobs: one for each of the tokens. */
    logprobs?: TokenLogprob[];
    /** Number of tokens of the prompt. */
    promptTokens: number;
    /** How many of them were not evaluated, as the model remembered them. */
    cachedTokens: number;
    /** With contextOverflow 'slide' and 'shift': how many tokens of the prompt and the answer were dropped. */
    droppedTokens?: number;
    /** Of a model with a draft that may guess: how many tokens it guessed, and how many of them were right. */
    drafted?: { guessed: number; right: number };
    /** 'stop': the model ended its answer, or a stop string came. 'length': maxTokens was reached, or the context is
     * full. 'abort': stop() was called, or the loop was left. */
    finishReason: 'stop' | 'length' | 'abort';
    /** With this seed the same request gives the same answer. */
    seed: number;
    build: Build | IntegerBuild;
    threads: number;
    timings: {
        loadMs: number;
        /** Counts only tokens that were not in the cache already. null if none was evaluated, or the clock did not
         * move. */
        promptTokensPerSecond: number | null;
        /** null if there was at most one token, or the clock did not move. */
        generateTokensPerSecond: number | null;
    };
}

export interface ModelInfo {
    format: string;
    version: number;
    architecture?: string;
    name?: string;
    /** Size of the file. */
    bytes: number;
    /** Number of weights. */
    parameters: number;
    /** Why this model cannot run, if it cannot. */
    unsupported?: string;
    vocabulary?: number;
    layers?: number;
    width?: number;
    feedForward?: number;
    heads?: number;
    kvHeads?: number;
    headSize?: number;
    /** Context that the model was trained for. */
    context?: number;
    /** The model embeds texts, and cannot continue them. */
    encoder?: boolean;
    /** false: each token sees those that follow it. logits() and embed() then take a text as a whole, and no text
     * can be continued. */
    causal?: boolean;
    window?: number;
    ropeBase?: number;
    /** Bytes of the KV cache for each token, as 'i16'; of a model of integers, in its own 8 bits. */
    kvBytesPerToken?: number;
    /** How embed() computes. */
    embedding?: {
        /** Numbers in a vector. */
        size: number;
        /** The prompts of a folder with modules.json, by their names. */
        prompts?: Record<string, string>;
        defaultPrompt?: string;
        /** Whether a prompt's tokens are pooled, too. */
        includePrompt: boolean;
        /** Longer texts are cut: from their end, or from their beginning. */
        maxTokens?: number;
        cutsLeft?: boolean;
        /** Of a reranker: how many numbers its head gives. rerank() takes those that give 1. */
        scores?: number;
    };
    tokenizer?: {
        kind: string;
        pre?: string;
        /** Texts are normalized to Unicode's NFC before they are tokenized. */
        nfc?: boolean;
        /** detokenize() takes spaces before punctuation away (tokenizer_config.json's clean_up_tokenization_spaces;
         * WordPiece in GGUF files). */
        cleansUp?: boolean;
        size: number;
        /** Token ids; -1 for none. */
        begin: number;
        end: number;
        beginText: string;
        endText: string;
    };
    chatTemplate?: string;
    types: { type: string; tensors: number; bytes: number; share: number }[];
    tensors: { name: string; type: string; shape: number[]; bytes: number }[];
    metadata: Record<string, unknown>;

    build: Build | IntegerBuild;
    threads: number;
    /** Tokens that prompt and answer may have together; 0 with headerOnly. */
    contextLength: number;
    /** How many answers are computed together, at most: `parallel` of load(), or 1 if the model ignores it. */
    parallel: number;
    /** Linear memory held, with that of adapters. It never shrinks: what removeAdapter() frees is used again. */
    memoryBytes: number;
    /** The part of it that the KV cache and the buffers of the computation take, without those of a draft. With
     * headerOnly, what they would take with these options. */
    sessionBytes: number;
    loadMs: number;
    /** The draft model, if load() was given one. */
    draft?: DraftInfo;
}

export interface DraftInfo {
    name?: string;
    architecture?: string;
    /** Number of weights. */
    parameters: number;
    /** Where the text is longer, the draft does not guess. */
    contextLength: number;
    /** Bytes of its weights in the file, and of its KV cache and buffers in memory. */
    bytes: number;
}

/**
 * NB_ERR_TRUNCATED: the bytes end too early. FORMAT: they contradict their format. UNSUPPORTED: they are
 * well-formed, but have something that nibble lacks. MEMORY: there is not enough. ARGUMENT: an option or argument is
 * wrong. CONTEXT: there are more tokens than the context holds. STATE: the call came at the wrong time. NETWORK,
 * FILE: the source cannot be read, or was changed meanwhile. WORKER: the worker died or could not start. ENGINE:
 * this browser or Node cannot run nibble, or nibble's own files are missing.
 */
export type ErrorCode =
    | 'NB_ERR_TRUNCATED'
    | 'NB_ERR_FORMAT'
    | 'NB_ERR_UNSUPPORTED'
    | 'NB_ERR_MEMORY'
    | 'NB_ERR_ARGUMENT'
    | 'NB_ERR_CONTEXT'
    | 'NB_ERR_STATE'
    | 'NB_ERR_NETWORK'
    | 'NB_ERR_FILE'
    | 'NB_ERR_WORKER'
    | 'NB_ERR_ENGINE';

export class NibbleError extends Error {
    constructor(code: ErrorCode, message: string, options?: { cause?: unknown });
    readonly code: ErrorCode;
    /** The error behind it, if there is one. Errors of a worker keep the stacks that they had there. */
    readonly cause?: unknown;
}
