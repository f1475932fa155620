// The story of the dashboard. Names are sentences; the order matters.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { TTL } from './shop.mjs'

const shows = (page, selector, text) => page.locator(selector, { hasText: text }).first().waitFor()
const open = (page, mesh, place) => page.goto(`${mesh.url}/distribution/#/${place}`)
const row = (page, text) => page.locator('tbody tr', { hasText: text })

const wrong = []

async function screenshot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) })
}

async function logIn(page, name) {
  await page.fill('#name', `${name}@example.com`)
  await page.fill('#word', 'shop')
  await page.click('.login .primary')
}

/** What is wrong with a page of that width: nothing may be cut at its side. */
async function fits(page) {
  const [inside, outside] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth])
  assert.ok(inside <= outside, `${inside} in ${outside} pixels`)
}

export const checks = {
  'whoever has not logged in gets the page and nothing of the mesh': async ({ page, mesh }) => {
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && wrong.push(message.text()))
    page.on('pageerror', (error) => wrong.push(String(error)))
    page.asked = []
    page.on('request', (request) => page.asked.push(request.url()))
    page.on('websocket', (socket) => page.asked.push(socket.url()))
    const frames = []
    page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push(String(payload))))
    await open(page, mesh, 'nodes')
    await page.locator('#name').waitFor()
    for (const place of ['', 'services', 'traffic', 'queues', 'dead', 'live']) {
      await open(page, mesh, place)
      await page.locator('#name').waitFor()
    }
    assert.equal(frames.some((frame) => frame.includes('shop-')), false, frames.join('\n'))
    assert.ok(frames.some((frame) => frame.includes('NotAuthenticated')))
    await screenshot(page, 'dashboard-login')
  },

  'a user without the role is refused, and told so': async ({ page, mesh }) => {
    await logIn(page, 'guest')
    await shows(page, 'h1', 'Not for this login')
    await shows(page, '.failure', "403 Forbidden The dashboard is for users whose roles include 'admin'")
    assert.equal(await page.locator('tbody tr').count(), 0)
  },

  'an admin sees the mesh: nine nodes of five apps, and what is called': async ({ page, mesh }) => {
    await logIn(page, 'admin')
    await open(page, mesh, '')
    await shows(page, '.figure', /Nodes\s*9\s*5 apps/)
    await shows(page, 'tbody tr', 'products')
    // A sample is taken each ten seconds.
    await page.waitForFunction(() => Number(document.querySelector('.figure .value')?.textContent) > 0, null, { timeout: 60_000 })
    // What was before the mesh is not known: it is hatched, and no line is drawn there.
    assert.ok(await page.locator('.chart rect.gap').count() > 0)
    const begins = await page.locator('.chart path.line.calls').first().evaluate((line) => line.getBBox().x)
    assert.ok(begins > 300, `the line begins at ${begins}`)
  },

  'a chart is read by arrow keys': async ({ page }) => {
    await page.locator('.chart').first().focus()
    await page.keyboard.press('ArrowLeft')
    await shows(page, '.chart .when', /\d\d:\d\d:\d\d/)
  },

  'nodes have a state, a beat, a load, a version and an uptime; a search finds them': async ({ page, mesh }) => {
    await open(page, mesh, 'nodes')
    await row(page, 'shop-products').nth(2).waitFor()
    assert.equal(await page.locator('tbody tr').count(), 9)
    const text = await row(page, 'shop-gateway').innerText()
    for (const part of [/\bup\b/, /\d s/, /\d\/256/, /1\.4\.0/, /this gateway/]) assert.match(text, part)
    await page.keyboard.press('/')
    await page.keyboard.type('ORDERS')
    await shows(page, '.tools', '2 found')
    await page.locator('#search').fill('')
    await shows(page, '.tools', '9 in all')
    await row(page, 'shop-mails').first().locator('a').click()
    await shows(page, 'h1', 'shop-mails')
    await shows(page, 'section', 'Ran here for others')
    await shows(page, 'tbody tr', 'send')
  },

  'a killed node is seen within its time to live, and stays as gone': async ({ page, mesh }) => {
    await open(page, mesh, 'nodes')
    await row(page, 'shop-products').nth(2).waitFor()
    const killed = mesh.nodes.find(({ app }) => app === 'products')
    const at = Date.now()
    await killed.stop('SIGKILL')
    await row(page, `pid ${killed.pid}`).filter({ hasText: 'gone' }).waitFor({ timeout: 20_000 })
    const seen = Date.now() - at
    // The page looks each two seconds, the gateway each second.
    assert.ok(seen < TTL + 5000, `seen after ${seen} ms`)
    console.log(`  a kill was shown after ${seen} ms (ttl ${TTL} ms)`)
    await row(page, `pid ${killed.pid}`).locator('a').click()
    await shows(page, '.facts', 'It left the mesh')
    await mesh.startNode('products')
  },

  'a service shows its methods, callers and schemas, and is called by its form': async ({ page, mesh }) => {
    await open(page, mesh, 'services')
    await row(page, 'orders').locator('a').click()
    await shows(page, 'h1', 'orders')
    await shows(page, 'tbody tr', 'default/shop-customers')
    await shows(page, 'section', 'Orders of customers')
    // Everything by keyboard: Tab goes from field to field.
    await page.locator('#method').focus()
    for (const text of ['2', '3', 'ada@example.com']) {
      await page.keyboard.press('Tab')
      await page.keyboard.type(text)
    }
    await page.keyboard.press('Tab')
    await page.keyboard.press('Space')
    await page.locator('form.call .primary').press('Enter')
    await shows(page, '.outcome', 'Answered')
    const result = await page.locator('.outcome .json').innerText()
    assert.match(result, /"total": 7350/)
    assert.match(result, /"gift": true/)
  },

  'an error of a call is shown as the service said it': async ({ page }) => {
    await page.locator('form.call label', { hasText: 'product' }).waitFor()
    await page.getByLabel('product *').fill('99')
    await page.locator('form.call .primary').click()
    await shows(page, '.outcome', '404 NotFound No product 99')
  },

  'traffic shows who calls whom, and one app alone': async ({ page, mesh }) => {
    await open(page, mesh, 'traffic')
    await shows(page, 'tbody tr', 'default/shop-orders')
    const edges = () => page.locator('.traffic path.edge:not(.faint)').count()
    await page.locator('.traffic .app').first().waitFor()
    const all = await edges()
    await page.locator('.traffic .app', { hasText: 'default/shop-mails' }).press('Enter')
    await shows(page, 'h2', 'Calls of and to default/shop-mails')
    assert.ok(await edges() < all)
    await page.selectOption('#span', '60')
    await shows(page, 'tbody tr', 'default/shop-orders')
  },

  'a dead letter is shown, and replayed': async ({ page, mesh }) => {
    // Replicas that break at this mail; nobody else is there to take it.
    for (const node of mesh.nodes.filter(({ app }) => app === 'mails')) await node.stop('SIGTERM')
    await mesh.startNode('mails', { SHOP_FRAGILE: '1' })
    const token = await mesh.logIn('admin')
    const body = { product: 1, count: 1, email: 'nobody' }
    const failed = mesh.ask('POST', '/orders', { body, token })
    await open(page, mesh, 'dead')
    // Whoever comes next finds what the dead one had.
    await new Promise((resolve) => setTimeout(resolve, TTL))
    await mesh.startNode('mails')
    await page.locator('button.link', { hasText: 'send mails' }).waitFor({ timeout: 40_000 })
    assert.ok((await failed).status >= 400)
    await page.locator('button.link', { hasText: 'send mails' }).first().click()
    await shows(page, '.json', '"to": "nobody"')
    await screenshot(page, 'dashboard-dead-letter')
    await page.locator('button', { hasText: 'Call it again' }).click()
    await shows(page, '.outcome', 'The call was answered.')
    await shows(page, '.outcome', '"sent": true')
    await shows(page, '.outcome', 'The letter is gone.')
    await page.locator('.empty', { hasText: 'None' }).waitFor()
  },

  'queues show what waits': async ({ page, mesh }) => {
    await open(page, mesh, 'queues')
    await shows(page, 'tbody tr', 'default/shop-products')
    await page.locator('th button', { hasText: 'App' }).press('Enter')
    await page.locator('th[aria-sort=ascending]', { hasText: 'App' }).waitFor()
    assert.match(await page.locator('tbody tr').first().innerText(), /shop-gateway/)
  },

  'calls and events are shown as they happen, without what is in them': async ({ page, mesh }) => {
    await open(page, mesh, 'live')
    await shows(page, 'tbody tr', 'default/shop-customers')
    await shows(page, 'tbody tr', 'event sent')
    const token = await mesh.logIn('admin')
    await mesh.ask('POST', '/orders', { body: { product: 4, count: 1, email: 'hunter2@example.com' }, token })
    await shows(page, 'tbody tr', 'default/shop-gateway')
    await page.getByLabel('only errors').check()
    await shows(page, 'tbody tr', '404 NotFound')
    assert.equal((await page.locator('body').innerText()).includes('hunter2'), false)
    await page.getByLabel('only errors').uncheck()
    await page.locator('button', { hasText: 'Pause' }).click()
    await screenshot(page, 'dashboard-live')
  },

  'a path with markup in it is text': async ({ page, mesh }) => {
    const path = '<img src=x onerror=alert(1)>'
    await open(page, mesh, `services/${encodeURIComponent(path)}`)
    await shows(page, '.failure', `No service '${path}' can be called`)
    assert.equal(await page.locator('#main img').count(), 0)
  },

  'all pages fit on a phone, in light and dark': async ({ page, mesh }) => {
    for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['light', 390]]) {
      await page.emulateMedia({ colorScheme: scheme })
      await page.setViewportSize({ width, height: width === 390 ? 844 : 860 })
      for (const place of ['', 'nodes', 'services', 'services/orders', 'traffic', 'queues', 'dead', 'live']) {
        await open(page, mesh, place)
        await page.locator('tbody tr, .empty, .table').first().waitFor()
        await fits(page)
        await screenshot(page, `dashboard-${place.replace('/', '-') || 'overview'}-${scheme}-${width}`)
      }
    }
    await page.setViewportSize({ width: 1100, height: 760 })
  },

  'the switch of colours outlives the page': async ({ page, mesh }) => {
    await page.emulateMedia({ colorScheme: 'light' })
    await page.selectOption('#theme', 'dark')
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor)
    const dark = await ground()
    await page.reload()
    await page.locator('#theme').waitFor()
    assert.equal(await ground(), dark)
    await page.selectOption('#theme', 'auto')
    assert.notEqual(await ground(), dark)
  },

  'a gateway that restarts finds the page logged in, and others have kept their hour': async ({ page, mesh }) => {
    await open(page, mesh, 'services')
    await shows(page, '#top', 'live')
    await mesh.gateway.stop('SIGKILL')
    await shows(page, '#notice', 'The gateway does not answer')
    await mesh.startGateway()
    await shows(page, '#top', 'live')
    await shows(page, 'tbody tr', 'products')
    await page.waitForFunction(() => /[1-9]/.test([...document.querySelectorAll('tbody tr')].find((row) => row.textContent.startsWith('products'))?.cells[3].textContent ?? ''), null, { timeout: 60_000 })
  },

  'nothing was asked of another address, and nothing went wrong': async ({ page, mesh }) => {
    const host = new URL(mesh.url).host
    const elsewhere = page.asked.filter((url) => !url.startsWith('data:') && new URL(url).host !== host)
    assert.deepEqual(elsewhere, [])
    // That the gateway was away is said by the browser, too.
    assert.deepEqual(wrong.filter((text) => !text.includes('WebSocket connection') && !text.includes('ERR_CONNECTION')), [])
  },

  'a logout ends it': async ({ page, mesh }) => {
    await page.locator('button', { hasText: 'Log out' }).click()
    await page.locator('#name').waitFor()
    assert.equal(await page.locator('tbody tr').count(), 0)
    assert.equal(await page.evaluate(() => localStorage.getItem('feathers-jwt')), null)
  }
}
