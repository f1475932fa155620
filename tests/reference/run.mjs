// Runs each file of checks/ against one gateway and counts the checks that passed.
import { readdir } from 'node:fs/promises'
import { run } from 'node:test'
import { conformance, redis } from '../clients/lib/processes.mjs'

const [binary, ...wanted] = process.argv.slice(2)
const folder = new URL('checks/', import.meta.url).pathname
const files = (await readdir(folder))
  .filter((name) => name.endsWith('.test.mjs'))
  .filter((name) => wanted.length === 0 || wanted.some((start) => name.startsWith(start)))
  .sort()

// How long one file may take; one that hangs must not hang the rest.
const LONGEST = 300_000

let passed = 0
let failed = 0
const started = []

try {
  const server = await redis()
  started.push(server)
  const gateway = await conformance(binary, server.url, 'both', { args: ['--described'] })
  started.push(gateway)
  // For checks that start gateways of their own, with other settings.
  Object.assign(process.env, {
    CONFORMANCE_URL: gateway.url,
    CONFORMANCE_BINARY: binary,
    CONFORMANCE_REDIS: server.url
  })
  for (const name of files) {
    let [good, bad] = [0, 0]
    for await (const { type, data } of run({ files: [folder + name], concurrency: 1, timeout: LONGEST })) {
      const isCheck = data?.details?.type !== 'suite' && data?.name !== folder + name
      if (type === 'test:pass' && isCheck && !data.skip && !data.todo) good += 1
      if (type === 'test:fail' && (isCheck || bad === 0) && data.details.type !== 'suite') {
        bad += 1
        const error = data.details.error?.cause ?? data.details.error
        console.log(`FAILED ${name}: ${data.name}`)
        console.log(String(error?.stack ?? error).replace(/^/gm, '    '))
      }
      // What a check reports by `t.diagnostic`: how many inputs it compared.
      if (type === 'test:diagnostic' && /compared/.test(data.message)) console.log(`${name}: ${data.message}`)
    }
    if (good + bad === 0) bad += 1
    console.log(`${name.replace('.test.mjs', '')}: ${good} of ${good + bad}`)
    passed += good
    failed += bad
  }
} catch (error) {
  console.log(error)
  failed += 1
} finally {
  for (const program of started.reverse()) await program.stop()
}

console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
