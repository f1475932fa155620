// Programs in TypeScript get the types that the package has, by `import` and by `require`.
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

test('what may be written compiles, and what may not does not', async () => {
  const compiler = new URL('../node_modules/typescript/bin/tsc', import.meta.url).pathname
  const project = new URL('../types/', import.meta.url).pathname
  // What is expected to be wrong and is not is an error, too.
  await promisify(execFile)(process.execPath, [compiler, '--project', project]).catch(({ stdout }) => { throw new Error(stdout) })
})
