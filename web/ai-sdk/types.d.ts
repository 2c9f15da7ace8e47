/** The types of the AI SDK's specification that the provider implements. */
export type {
    EmbeddingModelV4,
    EmbeddingModelV4CallOptions,
    LanguageModelV4,
    LanguageModelV4CallOptions,
    LanguageModelV4FinishReason,
    LanguageModelV4Message,
    LanguageModelV4StreamPart,
    LanguageModelV4ToolCall,
    LanguageModelV4ToolResultOutput,
    LanguageModelV4Usage,
    SharedV4Warning,
} from '@ai-sdk/provider';
