/**
 * The messages between the thread that called load() and the workers. Each is typed here, once, and both sides use
 * these types: tsc finds a message that nobody handles, and a field that is missing. There are only types here, so
 * nothing loads this file.
 *
 *     api/link.js  -- a request, with an id ------------------------>  worker/engine-worker.js
 *                  -- a notice, which wants no answer -------------->
 *                  <-- events of the request; then Done or Failed ---
 *                  <-- Thread, once for each further thread --------
 *                  <-- JournalLine, if `debug` is set --------------
 *                  <-- Alarm, from worker/pool-worker.js -----------
 *
 *     worker/engine.js  -- Join -->  worker/pool-worker.js
 *                       <-- Ready --
 *
 * A worker's first message is Started. After Fatal it cannot be used any more.
 */

/** @typedef {import('./index.d.ts').Build} Build */
/** @typedef {import('./index.d.ts').ImportanceMatrix} ImportanceMatrix */
/** @typedef {import('./index.d.ts').Message} Message */
/** @typedef {import('./index.d.ts').ModelInfo} ModelInfo */
/** @typedef {import('./index.d.ts').Perplexity} Perplexity */
/** @typedef {import('./index.d.ts').Progress} Progress */
/** @typedef {import('./index.d.ts').Result} Result */
/** @typedef {import('./errors.js').PlainError} PlainError */
/** @typedef {import('./options.js').CheckedChat} CheckedChat */
/** @typedef {import('./options.js').CheckedEmbed} CheckedEmbed */
/** @typedef {import('./options.js').CheckedGenerate} CheckedGenerate */
/** @typedef {import('./options.js').CheckedImportance} CheckedImportance */
/** @typedef {import('./options.js').CheckedPerplexity} CheckedPerplexity */
/** @typedef {import('./options.js').CheckedTemplate} CheckedTemplate */
/** @typedef {import('./options.js').CheckedTurn} CheckedTurn */
/** @typedef {import('./quantize-options.js').CheckedQuantize} CheckedQuantize */
/** @typedef {import('./sources/open.js').Source} Source */
/** @typedef {import('./train-options.js').CheckedTrain} CheckedTrain */
/** @typedef {import('./tokenizer-options.js').CheckedTokenizer} CheckedTokenizer */
/** @typedef {import('./index.d.ts').PlannedTensor} PlannedTensor */

// ---- requests: what each asks, which events come before its answer, and its answer --------------------------------

/**
 * listeners: what the events are given to, one function for each type of event.
 * @template Ask
 * @template {{ type: string }} Event
 * @template Answer
 * @typedef {{ ask: Ask, event: Event, answer: Answer,
 *     listeners: { [Each in Event as Each['type']]: (event: Each) => unknown } }} Kind
 */

/**
 * load() comes first, and dispose() last ('close'). logits() is 'evaluate', applyTemplate() is 'template'.
 * complete() and chat() are both 'generate'.
 * @typedef {object} Requests
 * @property {Kind<{ source: Source, draft?: Source, options: EngineOptions }, ProgressEvent | PullEvent, ModelInfo>} load
 *     draft: a model that guesses for this one
 * @property {Kind<{ source: Source, options: QuantizeOptions },
 *     ProgressEvent | PullEvent | PlannedEvent | RangesEvent | PieceEvent | FileEvent, void>} quantize for a worker
 *     that does nothing else
 * @property {Kind<{ source: Source, options: MixOptions }, ProgressEvent | PullEvent, ChosenMix>} mix for a worker
 *     that does nothing else
 * @property {Kind<GenerateAsk, TextEvent | LogitsEvent, Result>} generate
 * @property {Kind<{ tokens: number[] }, RowsEvent, void>} evaluate
 * @property {Kind<{ input: string | number[], options: CheckedEmbed }, never, Embedded>} embed
 * @property {Kind<{ query: string, documents: string[] }, ScoredEvent, Scored>} rerank
 * @property {Kind<{ input: string | number[], options: CheckedPerplexity }, WindowEvent, Perplexity>} perplexity
 * @property {Kind<{ input: string | number[], options: CheckedImportance }, WindowEvent, ImportanceMatrix>}
 *     importance
 * @property {Kind<{ input: string | number[], options: { context?: number, stride?: number }, base?: ComparedText },
 *     never, ComparedText>} compareBegin base: what the base's worker answered
 * @property {Kind<{}, never, ComparedRows | undefined>} compareNext of the base: the next rows; undefined at the end
 * @property {Kind<{ rows: ComparedRows }, never, Float64Array>} compareRows [rows, NB_COMPARED_NUMBERS]
 * @property {Kind<{ units: boolean }, never, { matrices: MatrixFacts[], units: number[] }>} compareMatrices units:
 *     their root mean squares, if asked for
 * @property {Kind<{ ask: { matrix: number, row: number, rows: number, columns: number } }, never, Float32Array>}
 *     compareTake the next rows of weights
 * @property {Kind<{ base: { matrix: number, row: number, rows: number, unit: number, weights: Float32Array } }, never,
 *     ComparedWeights>} compareWeights
 * @property {Kind<{ messages: Message[], options: CheckedTemplate }, never, Prompt>} template
 * @property {Kind<{ text: string, flags: number }, never, Int32Array>} tokenize flags: NB_TOKENIZE_...
 * @property {Kind<{ tokens: number[], special: boolean }, never, string>} detokenize
 * @property {Kind<{}, never, Uint8Array>} save
 * @property {Kind<{ bytes: Uint8Array }, never, Int32Array>} restore its tokens
 * @property {Kind<{ source: Source, name: string, scale: number }, PullEvent, Adapted>} addAdapter
 * @property {Kind<{ adapters: readonly import('./index.d.ts').AdapterScale[] }, never, Adapted>} setAdapters
 * @property {Kind<{ name: string }, never, Adapted>} removeAdapter
 * @property {Kind<{ what: string, texts: string[] }, never, number[][]>} tokensOfTexts the tokens that are nothing but
 *     each text; what: has the texts, for a message
 * @property {Kind<TrainAsk, never, import('./index.d.ts').TrainingInfo>} trainOpen for a worker that only trains; the
 *     next three requests belong to its training
 * @property {Kind<{}, never, import('./index.d.ts').TrainStep>} trainStep
 * @property {Kind<{}, never, Uint8Array>} trainSave a checkpoint
 * @property {Kind<{}, PieceEvent, void>} trainWrite the model as it is, a GGUF
 * @property {Kind<TokenizerAsk, TokenizerEvent | PullEvent, import('./index.d.ts').TrainedTokenizer>} trainTokenizer
 *     for a worker that does nothing else
 * @property {Kind<{ waits: boolean }, never, void>} idle is answered as soon as the worker reads messages; with `waits`,
 *     when all that was asked before has ended, also if it was stopped
 * @property {Kind<{}, never, void>} close
 */

/**
 * load()'s options for the engine, checked.
 * @typedef {import('./options.js').CheckedLoad & { headerOnly: boolean, debug?: boolean,
 *     imatrix?: Uint8Array, assets: import('./assets.js').Assets }} EngineOptions
 */

/**
 * quantize()'s options for the worker, checked. part, parts: which of the workers it is, and how many share the work.
 * folder: what quantizeFolder() is to make.
 * @typedef {Omit<CheckedQuantize, 'order'> & { order: import('./quantize-options.js').CheckedFolder['order'],
 *     folder?: import('./quantize-options.js').CheckedFolder, simulate?: import('./simulated.js').CheckedSimulation,
 *     part: number, parts: number, imatrix?: Uint8Array, debug?: boolean, assets: import('./assets.js').Assets }}
 *     QuantizeOptions
 */

/**
 * quantize()'s options for the worker that chooses types under a budget.
 * @typedef {Omit<QuantizeOptions, 'type' | 'part' | 'parts'>} MixOptions
 */

/**
 * train()'s and tune()'s options for the worker, checked. data: texts, or tokens. config: of a new model, whose
 * tokenizer is the source. tunes: the scales of a quantized model learn, and its codes stay.
 * @typedef {{ source: Source, options: CheckedTrain & { lastRate: number, warmup: number, data: string[] | Int32Array,
 *     checkpoint?: Uint8Array, config?: object, teacher?: Source, tunes: boolean, debug?: boolean,
 *     qat?: import('./qat-options.js').FullQat, assets: import('./assets.js').Assets } }} TrainAsk
 */

/**
 * trainTokenizer()'s options for the worker, checked. source: one text, or several.
 * @typedef {{ source: Source, options: CheckedTokenizer & { debug?: boolean, assets: import('./assets.js').Assets } }}
 *     TokenizerAsk
 */

/**
 * Which type each matrix gets. type: the file's, named after the most frequent tensor type. losses: by the tensors'
 * names, as in PlannedTensor. imatrix: the importance matrix to round with.
 * @typedef {{ type: string, tensors: [string, string][], losses: Record<string, number>, choice:
 *     import('./index.d.ts').TypeChoice, imatrix?: Uint8Array }} ChosenMix
 */

/**
 * lends: whether there is an onLogits(), which gets the logits before each token.
 * @typedef {{ lends: boolean } & ({ what: 'complete', input: string | number[] | { prefix: string, suffix: string }, options: CheckedGenerate }
 *     | { what: 'chat', input: Message[], options: CheckedChat & CheckedTurn })} GenerateAsk
 */

/** A chat's prompt: its text, and the tokens that the model is fed. @typedef {{ text: string, tokens: number[] }}
 * Prompt */

/** A vector, and how many tokens were embedded, as a long text is cut. @typedef {{ vector: Float32Array,
 * tokens: number }} Embedded */

/** What a reranker gives documents. cut: the indices of those that are too long. tokens: how many were read.
 * @typedef {{ scores: Float32Array, cut: number[], tokens: number }} Scored */

/**
 * The tokens of a text that two models are compared by. first: the place in each window of the first token that is
 * scored. begin: the token that takes the place of each window's first one, if the vocabulary wants it.
 * @typedef {{ tokens: Int32Array, context: number, stride: number, windows: number, begin: number | undefined,
 *     first: number, vocabulary: number }} ComparedText
 */

/**
 * Logits of the tokens [first, first + rows) of a window. @typedef {{ window: number, first: number, rows: number,
 * logits: Float32Array }} ComparedRows
 */

/** @typedef {{ kind: string, layer: number | null, type: string, rows: number, columns: number }} MatrixFacts */

/**
 * Sums of squares, of the differences and of the base's weights. before, after: histograms of the base's weights and
 * of this model's.
 * @typedef {{ difference: number, base: number, before: Uint32Array, after: Uint32Array }} ComparedWeights
 */

/** A model after a change of its adapters. @typedef {{ adapters: import('./index.d.ts').AdapterInfo[],
 *     memoryBytes: number }} Adapted */

/** How far trainTokenizer() is. @typedef {{ type: 'tokenizer', progress: import('./index.d.ts').TokenizerProgress }}
 * TokenizerEvent */

/** How far a load is. @typedef {{ type: 'progress', progress: Progress }} ProgressEvent */

/** What quantize() is going to write. @typedef {{ type: 'planned', tensors: PlannedTensor[] }} PlannedEvent */

/**
 * The ranges of static activations. @typedef {{ type: 'ranges', ranges: import('./index.d.ts').ActivationRange[] }}
 * RangesEvent
 */

/** The next bytes of what quantize() or quantizeFolder() writes. @typedef {{ type: 'piece', bytes: Uint8Array }}
 * PieceEvent */

/** The next pieces are of this file of a folder. @typedef {{ type: 'file', name: string, size: number }} FileEvent */

/** The engine wants the next chunk of a source that it cannot open by itself: the model's, or the draft's.
 * @typedef {{ type: 'pull', draft?: true }} PullEvent */

/** A piece of an answer. @typedef {{ type: 'text', chunk: import('./index.d.ts').Chunk, tokens: number[], logprobs?:
 * import('./index.d.ts').TokenLogprob[] }} TextEvent */

/** Logits of which a token will be chosen, when they are given back. position: how many tokens come before.
 * @typedef {{ type: 'logits', logits: Float32Array, position: number }} LogitsEvent */

/** How far a request over a text is.
 * @typedef {{ type: 'window', progress: import('./index.d.ts').TextProgress }} WindowEvent */

/** How many documents have their score. @typedef {{ type: 'scored', done: number }} ScoredEvent */

/** Logits of some tokens, in order: [rows, vocabulary]. @typedef {{ type: 'rows', rows: Float32Array }} RowsEvent */

// ---- notices ----------------------------------------------------------------------------------------------------

/**
 * chunk: an answer to a 'pull'; null at the end. draft: it is of the draft model. more: a piece of a request's answer
 * was read; spare: its buffer, to be filled again. logits: those of a LogitsEvent, given back. stop: a request is to
 * end. job: the request's id.
 * @typedef {object} Notices
 * @property {{ bytes: Uint8Array | null, draft?: boolean }} chunk
 * @property {{ job: number, spare?: ArrayBuffer }} more
 * @property {{ job: number, logits: Float32Array }} logits
 * @property {{ job: number }} stop
 */

// ---- what the engine's worker sends in addition to events ---------------------------------------------------------

/**
 * The answer; undefined if the request was stopped: then nobody waits for it.
 * @typedef {{ type: 'done', id: number, result: AnswerOf<RequestType> | undefined }} Done
 */

/** @typedef {{ type: 'error', id: number, error: PlainError }} Failed */

/** A thread of the pool reports its failure by this port, because the engine may be waiting for it inside WebAssembly.
 * @typedef {{ type: 'thread', port: MessagePort }} Thread */

/** What comes by that port: which thread stopped, and why. @typedef {{ index: number, error: PlainError }} Alarm */

/** A line of the option `debug`. @typedef {{ type: 'journal', line: string }} JournalLine */

/** Which script runs. @typedef {{ type: 'started', script: Script }} Started */

/** @typedef {'engine-worker' | 'pool-worker'} Script */

/** The worker cannot go on, for this reason. @typedef {{ type: 'fatal', error: PlainError }} Fatal */

// ---- a thread of the pool -----------------------------------------------------------------------------------------

/**
 * Tells a worker which pool to join.
 * @typedef {object} Join
 * @property {WebAssembly.Module} module
 * @property {WebAssembly.Memory} memory
 * @property {number} pool
 * @property {number} index of this worker: 1 ... threads-1
 * @property {number} stack nb_pool_stack(pool, index), asked of the engine's instance: until __stack_pointer is set,
 *     a call in this one would write over the engine's stack
 * @property {MessagePort} alarm see Thread
 */

/** It joined. @typedef {{ type: 'ready' }} Ready */

// ---- all of them --------------------------------------------------------------------------------------------------

/** @typedef {keyof Requests} RequestType */
/** @typedef {keyof Notices} NoticeType */

/** @template {RequestType} Type @typedef {Requests[Type]['ask']} Ask */
/** @template {RequestType} Type @typedef {Requests[Type]['event']} EventOf */
/** @template {RequestType} Type @typedef {Requests[Type]['answer']} AnswerOf */

/** @template {RequestType} Type @typedef {Requests[Type]['listeners']} Listeners */

/** @template {RequestType} Type @typedef {{ type: Type, id: number } & Ask<Type>} Request */
/** @template {NoticeType} Type @typedef {{ type: Type } & Notices[Type]} Notice */

/** @typedef {{ [Type in RequestType]: Request<Type> }[RequestType]} AnyRequest */
/** @typedef {{ [Type in NoticeType]: Notice<Type> }[NoticeType]} AnyNotice */
/** @typedef {EventOf<RequestType> & { id: number }} AnyEvent */

/** Messages to the engine's worker. @typedef {AnyRequest | AnyNotice} ToEngine */
/** Messages from it. @typedef {Done | Failed | Thread | JournalLine | AnyEvent} FromEngine */

export {};
