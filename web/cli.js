#!/usr/bin/env node
/**
 * The command `nibble`. The API does the work; cli/ has the flags, the help, and what is printed.
 * Exit codes: 0, 1 for a failure (one line on standard error), 2 for wrong usage (cli/usage.js: isUsage), 130
 * after Ctrl-C.
 */
import { main } from './cli/main.js';

const code = await main(process.argv.slice(2));
// not process.exit(): what was written to a pipe may still be on its way
process.exitCode = code;
