// Asks a model a question, and prints the answer as it comes:
//     node examples/script.js MODEL "Who are you?"
// MODEL: a GGUF file, a folder, a URL, or hf:owner/repo.
import { load } from 'nibble-llm';

const [source = 'demo/stories.gguf', question = 'Who are you?'] = process.argv.slice(2);
const model = await load(source);
try {
    const generation = model.chat(question, { maxTokens: 64 });
    for await (const text of generation) process.stdout.write(text);
    const { timings } = await generation;
    process.stdout.write('\n');
    console.error(`${timings.generateTokensPerSecond} tokens per second`);
} finally {
    await model.dispose(); // ends the worker, and gives its memory back
}
