import { load } from './web/index.js';
const m = await load(process.argv[2], {threads: 1});
console.log(m.info.architecture, m.info.contextLength, m.info.vocabulary);
const schema = {type:'object',properties:{name:{type:'string',maxLength:12},age:{type:'integer',minimum:0,maximum:150},tags:{type:'array',items:{enum:['a','b']},maxItems:3}},required:['name','age']};
for (let i=0;i<5;i++){ const t=performance.now(); const r = await m.complete('Once upon a time', {schema, maxTokens: 200, temperature: 2, topK:0, topP:1, minP:0, seed:i}); console.log(r.finishReason, r.text, r.tokens?.length, (performance.now()-t).toFixed(0)); }
const r = await m.complete('Once', {schema: true, maxTokens: 60, temperature: 1.5, topK:0, topP:1, minP:0, seed:1}); console.log(r.finishReason, r.text);
try { m.complete('a', {schema: {not: {}}}); } catch (e) { console.log(e.code, e.message); }
await m.dispose();
