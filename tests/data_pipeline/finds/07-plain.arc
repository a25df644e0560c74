http://3.example/ 192.0.2.1 20140216050221 text/html 100000000000000000
HTTP/1.1 200 OK
Content-Type: text/html

<p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p>
http://2.example/ 192.0.2.1 20140216050221 text/html 132
HTTP/1.1 2
Content-Type: text/html

<p>text</p><p>text</p><p>text</p><p>text</p¾<p>text</p><p>text</p><p>text</p><p>text</p>
http://5.example/ 192.0.2.1 20140216050221 text/html 55
HTTP/1.1 200 OK
Content-Type: text/html

<p>text</p>
http://3.example/ 192.0.2.1 20140216050221 text/html 99
HTTP/1.1 200 OK
Content-Type: text/html

<p>text</p><p>text</p><p>text</p><p>text</p><p>text</p>
http://2.example/ 192.0.2.1 20140216050221 text/html 264
HTTP/1.1 200 OK
Con/p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>http://5.example/ 192.0.2.1 20140216050221 text/html 55
HTTP/1.1 200 OK
Content-Type: text/html

<p>text</p>
text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p>
