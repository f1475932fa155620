// Runs the checks one after the other, in one browser and one mesh: each begins where the one before it ended.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { checks } from './checks.mjs'
import { checks as dashboardChecks } from './dashboard.mjs'
import { Mesh } from './mesh.mjs'
import { Shop } from './shop.mjs'

const [todo, shop, executablePath, only] = process.argv.slice(2)
// No headless mode of Playwright's own, since it is Debian's Chromium; the rest keeps it from talking to anybody.
const args = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'
]

let passed = 0
let failed = 0

/** Everything that says what went wrong: the error, what the page logged, what the processes printed. */
async function complain(name, error, page, mesh) {
  console.log(`FAILED: ${name}\n${String(error?.stack ?? error).replace(/^/gm, '    ')}`)
  const shown = await page.locator('body').innerText({ timeout: 1000 }).catch(() => 'nothing')
  console.log(`  the page shows:\n${shown.replace(/^/gm, '    ')}`)
  console.log(`  the gateway said:\n${mesh.gateway?.said().slice(-2000).replace(/^/gm, '    ')}`)
}

const stories = { todo: [checks, (folder) => new Mesh(todo, folder)], dashboard: [dashboardChecks, (folder) => new Shop(shop, folder)] }

/** Runs the checks of one story on a mesh and a browser of its own. */
async function run(checks, make) {
  const folder = await mkdtemp(join(tmpdir(), 'rachis-browser-'))
  const mesh = make(folder)
  let browser
  try {
    await mesh.start()
    // What a proxy of the machine would do with loopback addresses is not what is checked here.
    browser = await chromium.launch({ executablePath, args: [...args, '--no-proxy-server'] })
    const context = await browser.newContext({ viewport: { width: 1100, height: 760 } })
    context.setDefaultTimeout(20_000)
    const page = await context.newPage()
    for (const [name, check] of Object.entries(checks)) {
      try {
        await check({ page, mesh, context })
        passed += 1
        console.log(`ok: ${name}`)
      } catch (error) {
        failed += 1
        await complain(name, error, page, mesh)
      }
    }
  } catch (error) {
    console.log(error)
    failed += 1
  } finally {
    await browser?.close()
    await mesh.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

for (const [name, [checks, make]] of Object.entries(stories)) {
  if (!only || only === name) await run(checks, make)
}

console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
