// Runs every check on a Redis of its own, and counts.
import { readdir } from 'node:fs/promises'
import { run } from 'node:test'
import { redis } from '../clients/lib/processes.mjs'

const [binary, ...wanted] = process.argv.slice(2)
const folder = new URL('checks/', import.meta.url).pathname
const all = (await readdir(folder)).filter((name) => name.endsWith('.test.mjs'))
const number = (name) => Number.parseInt(name)
const files = all
  .filter((name) => wanted.length === 0 || wanted.some((start) => name.startsWith(start)))
  .sort((a, b) => number(a) - number(b))

// How long one file of checks may take; one that hangs must not hang the rest.
const PATIENCE = 180_000

let passed = 0
let failed = 0

for (const name of files) {
  const server = await redis()
  Object.assign(process.env, { REDIS_URL: server.url, CONFORMANCE_BINARY: binary })
  let [good, bad] = [0, 0]
  for await (const { type, data } of run({ files: [folder + name], concurrency: 1, timeout: PATIENCE })) {
    const isCheck = data?.details?.type !== 'suite' && data?.name !== folder + name
    if (type === 'test:pass' && isCheck && !data.skip) good += 1
    if (type === 'test:fail' && (isCheck || bad === 0) && data.details.type !== 'suite') {
      bad += 1
      const error = data.details.error?.cause ?? data.details.error
      console.log(`FAILED ${name}: ${data.name}`)
      console.log(String(error?.stack ?? error).replace(/^/gm, '    '))
    }
  }
  await server.stop()
  if (good + bad === 0) bad += 1
  console.log(`${name.replace('.test.mjs', '')}: ${good} of ${good + bad}`)
  passed += good
  failed += bad
}

console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
